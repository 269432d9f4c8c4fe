/** One XML stream over a socket, asked and answered in turns. Whatever the other side does comes out as an event or a {@link Fault}. */
import type { Duplex } from 'node:stream'
import { createStreamReader, type StreamEvent, StreamFault, type StreamFaultKind, streamNamespace, type XmlElement } from './xml-stream.js'

export type FaultKind =
  | StreamFaultKind
  | 'refused'
  | 'unreachable'
  | 'no-route'
  | 'timeout'
  | 'hangs'
  | 'closed'
  | 'starttls-refused'
  | 'tls-failed'
  | 'stream-error'

/** Why a look at an endpoint ended before its end. `detail` goes behind a colon. */
export class Fault extends Error {
  constructor(
    readonly kind: FaultKind,
    detail: string,
    /** Of a stream error (RFC 6120 §4.9): its condition, and where see-other-host points to. */
    readonly condition: string | null = null,
  ) {
    super(detail)
  }
}

export const tlsNamespace = 'urn:ietf:params:xml:ns:xmpp-tls'
export const saslNamespace = 'urn:ietf:params:xml:ns:xmpp-sasl'
const errorNamespace = 'urn:ietf:params:xml:ns:xmpp-streams'

/** Text of the other side for a sentence: printable, short. */
const short = (text: string): string =>
  text
    .replace(/[^\x20-\x7e\u00a1-\uffef]+/g, ' ')
    .trim()
    .slice(0, 120)

/** The fault that a stream error is. */
const streamError = (error: XmlElement): Fault => {
  const condition = error.children.find(({ ns, name }) => ns === errorNamespace && name !== 'text')
  const text = error.children.find(({ name }) => name === 'text')?.text ?? condition?.text ?? ''
  const name = condition?.name.slice(0, 60) ?? 'undefined-condition'
  const said = short(text)
  return new Fault('stream-error', said ? `${name} (“${said}”)` : name, name)
}

export type Conversation = {
  send(text: string): void
  /** The next thing on the stream that is no stream error. Rejects with {@link Fault}. */
  next(): Promise<StreamEvent>
  /** The next element at the first level. */
  element(): Promise<XmlElement>
  /** Stops listening; the socket stays open. */
  detach(): void
}

/** Listens on `socket` until the deadline. */
export const converse = (socket: Duplex, deadline: AbortSignal): Conversation => {
  const reader = createStreamReader()
  const events: StreamEvent[] = []
  let fault: Fault | null = null
  let wake: () => void = () => {}
  const fail = (next: Fault): void => {
    fault ??= next
    wake()
  }
  const onData = (chunk: Buffer): void => {
    if (fault) return
    try {
      events.push(...reader.feed(chunk))
    } catch (error) {
      fail(error instanceof StreamFault ? new Fault(error.kind, error.message) : new Fault('xml-invalid', 'what it sends cannot be read'))
      return
    }
    wake()
  }
  const onClose = () => fail(new Fault('closed', 'it closes the connection'))
  const onAbort = () => fail(new Fault('hangs', 'it does not answer in time'))
  socket.on('data', onData).on('end', onClose).on('close', onClose).on('error', onClose)
  if (deadline.aborted) onAbort()
  else deadline.addEventListener('abort', onAbort, { once: true })

  const next = async (): Promise<StreamEvent> => {
    while (events.length === 0 && !fault) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    const event = events.shift()
    if (!event) throw fault as unknown as Fault
    if (event.kind === 'element' && event.element.name === 'error' && event.element.ns === streamNamespace) throw streamError(event.element)
    return event
  }
  return {
    send: (text) => void socket.write(text),
    next,
    async element() {
      for (;;) {
        const event = await next()
        if (event.kind === 'close') throw new Fault('closed', 'it ends the stream')
        if (event.kind === 'element') return event.element
      }
    },
    detach() {
      socket.off('data', onData).off('end', onClose).off('close', onClose).off('error', onClose)
      deadline.removeEventListener('abort', onAbort)
    },
  }
}
