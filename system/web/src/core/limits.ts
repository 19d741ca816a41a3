/** Limits that the server keeps as well. */
export const STOPS_MAX = 100
export const CUSTOMER_BYTES_MAX = 256
export const BODY_BYTES_MAX = 4096
