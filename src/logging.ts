/** The log: pino, one JSON object a line. Secrets are kept out twice: by the names of fields, and by their very values wherever those would turn up. */
import { pino } from 'pino'
import type { Config } from './config.js'
import type { Log } from './log.js'

const secretFields = [
  'passphrase',
  'password',
  'privateKey',
  'secret',
  'token',
  'keyAuthorization',
  'authorization',
  'cookie',
  'databaseUrl',
  'smtpUrl',
]
/** Shorter ones would blot out ordinary words; no secret of ours is that short. */
const shortestSecret = 6

export type Logging = {
  log: Log
  /** From now on this value appears as `[hidden]` wherever it would be logged. */
  hide(secret: string): void
  /** Writes what is still buffered, before the process ends. */
  flush(): void
}

/** The log of a process. `write` is given whole lines; by default they go to stderr, because stdout belongs to the commands. */
export const createLogging = (level: Config['logLevel'], write?: (line: string) => void): Logging => {
  const stderr = write ? null : pino.destination({ fd: 2, sync: false })
  const hidden: string[] = []
  const scrub = (line: string): string => hidden.reduce((rest, secret) => (rest.includes(secret) ? rest.replaceAll(secret, '[hidden]') : rest), line)
  const paths = secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`])
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths, censor: '[hidden]' },
    },
    { write: (line: string) => (write ?? ((text) => stderr?.write(text)))(scrub(line)) },
  )
  return {
    log,
    hide: (secret) => {
      if (secret.length < shortestSecret) return
      // As it stands in JSON, too.
      hidden.push(...new Set([secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]))
    },
    flush: () => stderr?.flushSync(),
  }
}

/** The passwords inside a configuration. */
export const secretsOf = (config: Config): string[] =>
  [config.database, config.smtpUrl ?? ''].filter((url) => URL.canParse(url)).map((url) => decodeURIComponent(new URL(url).password))
