/** What somebody types as a domain. With the list of public suffixes, which is most of what the form weighs: import it when it is needed. */
import { parseIdentifier } from '../../../src/identifier.js'
import { toAscii } from '../../../src/idna.js'

/** The A-label form of what was typed; throws with a sentence for what is no domain. A wildcard, a JID or a final dot are taken as what was meant. */
export const readDomain = (typed: string, lab: boolean): string => {
  const bare = typed
    .trim()
    .replace(/^\*\./, '')
    .replace(/^[^@/:\s]+@/, '')
    .replace(/\.$/, '')
  return parseIdentifier('dns', toAscii(bare) ?? bare, { lab }).value
}
