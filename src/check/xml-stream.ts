/**
 * What a server writes on an XML stream (RFC 6120 §4), as the elements at its first level. Strict, and bounded in octets, depth and elements; what RFC 6120 §11.1
 * forbids (document types, entities, comments, processing instructions) ends the reading before anything could grow out of it.
 */
import sax from 'sax'

export const streamNamespace = 'http://etherx.jabber.org/streams'

export type XmlElement = { name: string; ns: string; attributes: Record<string, string>; children: XmlElement[]; text: string }

export type StreamEvent = { kind: 'open'; header: XmlElement } | { kind: 'element'; element: XmlElement } | { kind: 'close' }

/** How a stream can be none. */
export type StreamFaultKind = 'not-xmpp' | 'xml-invalid' | 'xml-forbidden' | 'xml-utf8' | 'stream-endless'

export class StreamFault extends Error {
  constructor(
    readonly kind: StreamFaultKind,
    detail: string,
  ) {
    super(detail)
  }
}

/** The features of a server take about 1,500 octets. The time of the parser grows with the square of attributes and namespaces, so there is little room above. */
const maxOctets = 16 * 1024
const maxDepth = 24
const maxElements = 1_000
const maxText = 2_000
/** Declarations on one stream: each costs time at the end of every element below it. */
const maxNamespaces = 100

export type StreamReader = {
  /** The events that these octets complete. Throws StreamFault. */
  feed(chunk: Uint8Array): StreamEvent[]
}

/** The parser's handlers: they build a tree of each element at the first level. */
const wire = (parser: sax.SAXParser, events: StreamEvent[]): void => {
  const open: XmlElement[] = []
  let elements = 0
  let namespaces = 0
  let started = false
  const forbidden = (what: string) => (): void => {
    throw new StreamFault('xml-forbidden', `it sends ${what}`)
  }
  parser.ondoctype = forbidden('a document type declaration')
  parser.oncomment = forbidden('a comment')
  parser.onsgmldeclaration = forbidden('a declaration')
  parser.onprocessinginstruction = ({ name }) => {
    if (name !== 'xml' || started) forbidden('a processing instruction')()
    started = true
  }
  parser.onopennamespace = () => {
    if (++namespaces > maxNamespaces) throw new StreamFault('stream-endless', `it declares more than ${maxNamespaces} namespaces`)
  }
  parser.onopentag = (tag) => {
    const { local, uri, attributes } = tag as sax.QualifiedTag
    started = true
    if (open.length === maxDepth) throw new StreamFault('xml-invalid', `its elements are nested more than ${maxDepth} deep`)
    if (++elements > maxElements) throw new StreamFault('stream-endless', `it sends more than ${maxElements} elements`)
    const values = Object.entries(attributes).map(([name, { value }]): [string, string] => [name, value.slice(0, maxText)])
    const element: XmlElement = { name: local, ns: uri, attributes: Object.fromEntries(values), children: [], text: '' }
    if (open.length === 0 && (local !== 'stream' || uri !== streamNamespace))
      throw new StreamFault('not-xmpp', `it begins with the element <${local.slice(0, 40)}>`)
    if (open.length === 0) events.push({ kind: 'open', header: element })
    if (open.length > 1) open.at(-1)?.children.push(element)
    open.push(element)
  }
  parser.ontext = parser.oncdata = (text) => {
    const element = open.length > 1 ? open.at(-1) : undefined
    if (element) element.text = (element.text + text).slice(0, maxText)
  }
  parser.onclosetag = () => {
    const element = open.pop()
    if (open.length === 1 && element) events.push({ kind: 'element', element })
    if (open.length === 0) events.push({ kind: 'close' })
  }
}

/** The types of the library do not know strictEntities: nothing but the five entities of XML itself. */
const options = { xmlns: true, strictEntities: true, position: false } as sax.SAXOptions

/** A reader for one stream; after a restart (STARTTLS) there is a new one. */
export const createStreamReader = (): StreamReader => {
  const parser = sax.parser(true, options)
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  let octets = 0
  let seen = ''
  const inbox: StreamEvent[] = []
  wire(parser, inbox)
  parser.onerror = (error) => {
    throw new StreamFault('xml-invalid', `its XML is not well-formed (${error.message.split('\n')[0]?.slice(0, 100)})`)
  }
  const decode = (chunk: Uint8Array): string => {
    try {
      return utf8.decode(chunk, { stream: true })
    } catch {
      throw new StreamFault('xml-utf8', 'what it sends is not UTF-8')
    }
  }
  return {
    feed(chunk) {
      octets += chunk.length
      // The first octet tells something else from XML (or from a byte order mark), whatever comes behind it.
      if (seen.length < 64) {
        seen = (seen + Buffer.from(chunk.subarray(0, 64)).toString('latin1')).trimStart()
        if (seen !== '' && !/^[<ï]/.test(seen)) {
          throw new StreamFault('not-xmpp', `it begins with ${JSON.stringify(seen.slice(0, 40).replace(/[^\x20-\x7e]/g, '?'))}`)
        }
      }
      const text = decode(chunk)
      if (octets > maxOctets) throw new StreamFault('stream-endless', `it sends more than ${maxOctets / 1024} KiB before it is asked anything`)
      parser.write(text)
      return inbox.splice(0)
    },
  }
}
