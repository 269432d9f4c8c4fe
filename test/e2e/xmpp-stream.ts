/** As much of XMPP streams (RFC 6120) as the end-to-end tests need: sending text, and waiting until what came in matches. No XML parser: both ends are known. */
import type { Socket } from 'node:net'
import { StringDecoder } from 'node:string_decoder'

export type Found = { kind: string; match: RegExpExecArray }

export type XmppStream = {
  socket(): Socket
  send(xml: string): void
  /** Waits for the first of the patterns and forgets everything up to its end. Rejects where the other side ends before, and after 8 s. */
  until(patterns: Record<string, RegExp>, ms?: number): Promise<Found>
  /** Stops reading, so that TLS can be put on top of the socket. */
  release(): Socket
  /** Goes on with another socket, nothing received so far. */
  use(socket: Socket): void
  close(): void
}

export const createStream = (first: Socket): XmppStream => {
  let socket = first
  let decoder = new StringDecoder('utf8')
  let received = ''
  let ended: string | null = null
  let look: (() => void) | null = null

  const onData = (data: Buffer): void => {
    received += decoder.write(data)
    look?.()
  }
  const use = (next: Socket): void => {
    socket = next
    decoder = new StringDecoder('utf8')
    received = ''
    const end = (reason: string) => () => {
      if (socket !== next) return
      ended ??= reason
      look?.()
    }
    next.on('data', onData)
    next.on('close', end('the connection was closed'))
    next.on('error', (error) => end(error.message)())
  }
  use(first)

  return {
    socket: () => socket,
    send: (xml) => void socket.write(xml),
    until: (patterns, ms = 8000) =>
      new Promise<Found>((resolve, reject) => {
        const settle = (act: () => void): void => {
          clearTimeout(timer)
          look = null
          act()
        }
        const timer = setTimeout(() => settle(() => reject(new Error(`nothing within ${ms} ms; received ${received.slice(0, 300)}`))), ms)
        look = () => {
          for (const [kind, pattern] of Object.entries(patterns)) {
            const match = pattern.exec(received)
            if (!match) continue
            received = received.slice(match.index + match[0].length)
            return settle(() => resolve({ kind, match }))
          }
          const reason = ended
          if (reason !== null) settle(() => reject(new Error(reason)))
        }
        look()
      }),
    release: () => {
      socket.off('data', onData)
      return socket
    },
    use,
    close: () => {
      socket.destroy()
    },
  }
}

export const header = (to: string, more: { from?: string; id?: string; namespace?: 'client' | 'server' } = {}): string =>
  `<?xml version='1.0'?><stream:stream xmlns='jabber:${more.namespace ?? 'server'}' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='${to}'` +
  `${more.from === undefined ? '' : ` from='${more.from}'`}${more.id === undefined ? '' : ` id='${more.id}'`}>`

export const starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
export const saslNamespace = 'urn:ietf:params:xml:ns:xmpp-sasl'

export const streamHeader = /<stream:stream[^>]*>/
export const features = /<stream:features(?:\s*\/>|[\s\S]*?<\/stream:features>)/
export const streamError = /<stream:error>([\s\S]*?)<\/stream:error>/
export const saslFailure = /<failure[\s\S]*?<\/failure>/

/** The condition of a stream error or a SASL failure, with its text where there is one. */
export const conditionOf = (xml: string): string => {
  const [, condition = 'unknown'] = /<([a-z-]+)[ />]/.exec(xml.replace(/<text[\s\S]*?<\/text>/, '').replace(/<\/?failure[^>]*>/g, '')) ?? []
  const [, text] = /<text[^>]*>([\s\S]*?)<\/text>/.exec(xml) ?? []
  return [condition, text?.replaceAll('&apos;', "'")].filter(Boolean).join(': ')
}

export const attribute = (xml: string, name: string): string | undefined => new RegExp(`\\s${name}=['"]([^'"]*)['"]`).exec(xml)?.[1]
