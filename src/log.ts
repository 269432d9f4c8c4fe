/** The part of a structured logger that this program uses (pino has this shape). Never log a key, a passphrase, a token's answer or a whole JWS. */
export type Log = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): Log
}
