use p256::ecdsa::Signature;
use proptest::prelude::*;

use super::*;
use crate::claims::Audience;
use crate::signer::Signer;

const NOW: WallTime = WallTime::from_secs(1_750_000_000);

fn claims() -> Claims {
    Claims {
        iss: "drover".to_owned(),
        sub: "anna".to_owned(),
        iat: NOW.as_secs(),
        exp: NOW.as_secs() + 3600,
        nbf: None,
        aud: None,
        jti: None,
        scope: None,
        tenant: Some("north".to_owned()),
        role: Some("dispatcher".to_owned()),
        vehicle: None,
    }
}

fn signer() -> Signer {
    Signer::from_seed([7; 32])
}

fn issuer() -> Issuer {
    let keys = PublicKeys::from_jwks(&signer().jwks()).unwrap();
    Issuer { name: "drover".to_owned(), audience: None, keys, tenant: None }
}

fn judged(claims: &Claims) -> Result<Principal, TokenError> {
    Verifier::new(vec![issuer()]).verify(&signer().sign(claims), NOW)
}

#[test]
fn a_token_of_ours_makes_its_bearer_what_it_says() {
    let anna = judged(&claims()).unwrap();
    assert_eq!((anna.subject.as_str(), anna.tenant.as_str(), anna.role), ("anna", "north", Role::Dispatcher));
    assert_eq!(anna.scopes, Role::Dispatcher.scopes());
    assert_eq!(anna.expires, WallTime::from_secs(1_750_003_600));
}

#[test]
fn a_token_that_was_revoked_is_not_made_good_by_another_signature_of_the_same() {
    let verifier = Verifier::new(vec![issuer()]);
    let token = signer().sign(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (r, s) = Signature::from_slice(&BASE64.decode(signature).unwrap()).unwrap().split_scalars();
    let other = BASE64.encode(Signature::from_scalars(*r, -*s).unwrap().to_bytes());
    let twin = format!("{signed}.{other}");
    assert!(twin != token && verifier.verify(&twin, NOW).is_ok(), "ECDSA takes both");
    let TokenName { id, subject, expires } = token_id(&token).unwrap();
    let anna = verifier.verify(&token, NOW).unwrap();
    assert_eq!((subject.as_str(), &id, expires), ("anna", &anna.token_id, anna.expires));
    verifier.revoked().hear(NOW, [(id, Some(expires))]);
    for text in [&token, &twin] {
        assert_eq!(verifier.verify(text, NOW), Err(TokenError::Revoked));
    }
}

#[test]
fn a_token_is_called_as_its_issuer_says_and_a_part_of_one_is_called_nothing() {
    let named = Claims { jti: Some("7".to_owned()), ..claims() };
    let token = signer().sign(&named);
    assert_eq!(token_id(&token).unwrap().id, "7");
    assert_eq!(judged(&named).unwrap().token_id, "7");
    let blank = Claims { jti: Some("a b".to_owned()), ..claims() };
    assert_eq!(judged(&blank).unwrap().token_id.len(), 64, "no plain word");
    assert_eq!(token_id(&token[..token.len() - 4]), Err(TokenError::Shape));
    assert_eq!(token_id("7"), Err(TokenError::Shape));
}

#[test]
fn scopes_of_a_token_go_before_those_of_its_role() {
    let less = judged(&Claims { scope: Some("map:view".to_owned()), ..claims() }).unwrap();
    assert_eq!(less.scopes.to_string(), "map:view");
    assert_eq!(less.role, Role::Dispatcher);
}

#[test]
fn the_contracts_token_without_a_role_is_a_dispatchers() {
    let scope = Some("map:view route:read".to_owned());
    let old = judged(&Claims { role: None, scope, ..claims() }).unwrap();
    assert_eq!(old.role, Role::Dispatcher);
    assert!(!old.scopes.has(Scope::OrdersWrite));
}

#[test]
fn the_same_claims_give_the_same_token() {
    assert_eq!(signer().sign(&claims()), signer().sign(&claims()));
}

#[test]
fn a_key_goes_through_pem_unchanged() {
    let again = Signer::from_pem(&signer().to_pem().unwrap()).unwrap();
    assert_eq!(again.jwks(), signer().jwks());
    let error = Signer::from_pem("-----BEGIN NOTHING-----").unwrap_err().to_string();
    assert!(error.starts_with("this is no private key of curve P-256 in PEM (PKCS #8)"), "{error}");
}

#[test]
fn a_token_is_believed_until_it_expires_and_a_minute_more() {
    let verifier = Verifier::new(vec![issuer()]);
    let token = signer().sign(&claims());
    let at = |seconds: i64| verifier.verify(&token, WallTime::from_secs(NOW.as_secs() + seconds));
    assert!(at(3659).is_ok());
    assert_eq!(at(3660), Err(TokenError::Expired(WallTime::from_secs(1_750_003_600))));
    assert!(at(-60).is_ok());
    assert_eq!(at(-61), Err(TokenError::Early(NOW)));
}

#[test]
fn who_is_not_believed_makes_no_tokens() {
    let stranger = Signer::from_seed([8; 32]).sign(&claims());
    let verifier = Verifier::new(vec![issuer()]);
    assert_eq!(verifier.verify(&stranger, NOW), Err(TokenError::Signature));
    assert_eq!(judged(&Claims { iss: "other".to_owned(), ..claims() }), Err(TokenError::Signature));
}

#[test]
fn algorithms_are_not_the_senders_to_choose() {
    let token = signer().sign(&claims());
    let rest = token.split_once('.').unwrap().1;
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"ES256","crit":["exp"]}"#] {
        let forged = format!("{}.{rest}", BASE64.encode(header));
        assert_eq!(Verifier::new(vec![issuer()]).verify(&forged, NOW), Err(TokenError::Algorithm));
    }
}

#[test]
fn a_token_for_others_is_refused() {
    let ours = Issuer { audience: Some("map".to_owned()), ..issuer() };
    let verifier = Verifier::new(vec![ours]);
    let said = |aud| verifier.verify(&signer().sign(&Claims { aud, ..claims() }), NOW).map(|_| ());
    assert_eq!(said(Some(Audience::One("map".to_owned()))), Ok(()));
    assert_eq!(said(Some(Audience::Many(vec!["a".to_owned(), "map".to_owned()]))), Ok(()));
    assert_eq!(said(Some(Audience::One("shop".to_owned()))), Err(TokenError::Audience));
    assert_eq!(said(None), Err(TokenError::Audience));
}

#[test]
fn an_issuer_of_one_tenant_speaks_for_no_other() {
    let ours = Issuer { tenant: Some(TenantId::new("north").unwrap()), ..issuer() };
    let verifier = Verifier::new(vec![ours]);
    let said = |tenant: Option<&str>| {
        verifier.verify(&signer().sign(&Claims { tenant: tenant.map(str::to_owned), ..claims() }), NOW)
    };
    assert_eq!(said(None).unwrap().tenant.as_str(), "north");
    assert_eq!(
        said(Some("south")).unwrap_err().to_string(),
        "the token's claim tenant: drover does not speak for south"
    );
}

#[test]
fn claims_that_say_nothing_are_named() {
    let said = |claims| judged(&claims).unwrap_err().to_string();
    assert_eq!(said(Claims { tenant: None, ..claims() }), "the token's claim tenant: missing");
    let driver = Claims { role: Some("driver".to_owned()), ..claims() };
    assert_eq!(said(driver), "the token's claim vehicle: a driver's token names a vehicle");
    let king = Claims { role: Some("king".to_owned()), ..claims() };
    assert_eq!(
        said(king),
        "the token's claim role: \"king\" is no role: there are dispatcher, viewer and driver"
    );
}

proptest! {
    #[test]
    fn no_text_is_believed_by_chance(text in "[A-Za-z0-9_.-]{0,300}") {
        prop_assert!(Verifier::new(vec![issuer()]).verify(&text, NOW).is_err());
    }

    #[test]
    fn one_changed_letter_breaks_a_token(place in 0_usize..400, letter in "[A-Za-z0-9_-]") {
        let mut token = signer().sign(&claims()).into_bytes();
        let place = place % token.len();
        // The last letter of a part holds bits that are padding; changed, they are refused as no base64url.
        prop_assume!(token[place] != letter.as_bytes()[0]);
        token[place] = letter.as_bytes()[0];
        let token = String::from_utf8(token).unwrap();
        prop_assert!(Verifier::new(vec![issuer()]).verify(&token, NOW).is_err());
    }
}
