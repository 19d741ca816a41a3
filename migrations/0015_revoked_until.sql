-- Does it still matter that this token was revoked?
ALTER TABLE revocations ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN revocations.expires_at IS 'When it expires by itself, if that is known: an hour later nobody is told of it any more.';
