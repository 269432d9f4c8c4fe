/** The log: pino, one JSON object a line. Secrets are kept out twice: by the names of fields, and by their very values wherever those would turn up. */
import { pino } from 'pino'
import type { Config } from './config.js'
import type { Log } from './log.js'

const secretFields = new Set([
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
])
/** How far down such fields are looked for. */
const deepest = 3

/** The fields of a line without those that are secrets by name. What has none, as nearly every line, is given back as it is. */
const redact = <T extends object>(fields: T, depth = 1): T => {
  let copy: Record<string, unknown> | undefined
  for (const [name, value] of Object.entries(fields)) {
    let shown = value
    if (secretFields.has(name)) shown = '[hidden]'
    // An error is made an object of its own first, see `serializers`.
    else if (typeof value === 'object' && value !== null && depth < deepest && !(value instanceof Error)) shown = redact(value, depth + 1)
    if (shown === value) continue
    copy ??= (Array.isArray(fields) ? [...fields] : { ...fields }) as Record<string, unknown>
    copy[name] = shown
  }
  return (copy as T | undefined) ?? fields
}

/** Lines are written when there are so many octets of them, or at the latest after so many milliseconds; warnings and errors at once. */
const batch = { minLength: 8192, periodicFlush: 100 }
const warning = 40

/** Shorter ones would blot out ordinary words; no secret of ours is that short. */
const shortestSecret = 6

export type Logging = {
  log: Log
  /** From now on this value appears as `[hidden]` wherever it would be logged. */
  hide(secret: string): void
  /** Writes what is still buffered, before the process ends. */
  flush(): void
}

/** The same log, with children that have no secrets either: pino does not ask its formatter about them. */
const withoutSecrets = (log: Log): Log => ({
  debug: (fields, message) => log.debug(fields, message),
  info: (fields, message) => log.info(fields, message),
  warn: (fields, message) => log.warn(fields, message),
  error: (fields, message) => log.error(fields, message),
  child: (fields) => withoutSecrets(log.child(redact(fields))),
})

/** The log of a process. `write` is given whole lines; by default they go to stderr, because stdout belongs to the commands. */
export const createLogging = (level: Config['logLevel'], write?: (line: string) => void): Logging => {
  // What is still there when the process ends is written by pino's own exit handler.
  const stderr = write ? null : pino.destination({ fd: 2, sync: false, ...batch })
  const hidden: string[] = []
  const scrub = (line: string): string => hidden.reduce((rest, secret) => (rest.includes(secret) ? rest.replaceAll(secret, '[hidden]') : rest), line)
  const destination = {
    // pino says here of which level the line is.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string) {
      if (write) return write(scrub(line))
      stderr?.write(scrub(line))
      if (this.lastLevel >= warning) stderr?.flush()
    },
  }
  const plain = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (fields) => redact(fields) },
      serializers: { err: (error: Error) => redact(pino.stdSerializers.err(error), 2) },
    },
    destination,
  )
  return {
    log: withoutSecrets(plain),
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
