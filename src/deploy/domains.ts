/** For which of a certificate's names a server is given it. */
import { parseIdentifier, splitWildcard } from '../identifier.js'
import { OperatorError } from '../open.js'
import type { Description } from '../pki/describe.js'

/** The domain without a wildcard label: what peers ask for. @throws IcaError for what is no domain */
export const domainOf = (value: string): string => splitWildcard(parseIdentifier('dns', value, { lab: true }).value).base

/**
 * The domains (A-labels) that are asked for; else the one that the client calls the certificate by, or its first. A wildcard is no domain: it stands for the one above it where
 * that is named too.
 * @throws OperatorError where nothing says which
 */
export const domainsOf = (asked: readonly string[] | undefined, called: string | null, leaf: Pick<Description, 'names'>): string[] => {
  if (asked) return [...new Set(asked.map(domainOf))]
  const names = leaf.names.flatMap(({ form, value }) => (form === 'dNSName' ? [value] : []))
  const named = called ?? names[0]
  if (!named) throw new OperatorError('The certificate names no domain; say by --domain which it is for.')
  const domain = domainOf(named)
  if (!named.startsWith('*.') || names.includes(domain)) return [domain]
  const other = names.find((name) => !name.startsWith('*.'))
  if (other) return [other]
  throw new OperatorError(`The certificate is for ${named}, and not for ${domain} itself: say by --domain which domain of the server it is for.`)
}
