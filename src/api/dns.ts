/** A live look at a record of a challenge, for the person who has just put it into the DNS. Names of challenges only: this is no open resolver. */
import { z } from 'zod'
import type { Clock } from '../clock.js'
import { IcaError } from '../errors.js'
import { parseIdentifier } from '../identifier.js'
import { type AuthoritativeDeps, lookAtServers, type ServerLook } from '../validation/authoritative.js'
import { withDeadline } from '../validation/deadline.js'
import type { Resolver } from '../validation/resolver.js'
import { createMemo } from './memo.js'
import { type Route, route } from './route.js'
import { dnsLook } from './schemas.js'

export type DnsDeps = AuthoritativeDeps & { clock: Clock; resolver: Pick<Resolver, 'txt' | 'ns' | 'addresses'> }

type DnsLook = z.input<typeof dnsLook>
type Server = DnsLook['servers'][number]

/** dns-01 and dns-account-01, for a domain or a service of it (draft-lebihan-srv-identifier-validation-extension); dns-persist-01. */
const challengeName = /^(?:(?:_[a-z2-7]{16}\.)?_acme-challenge|_validation-persist)\.((?:_xmpp-(?:client|server)\.)?(.+))$/

/** Throws IcaError for what is no name of a challenge. Gives it in lower case. */
const readName = (given: string, lab: boolean): string => {
  const name = given.trim().toLowerCase()
  const found = challengeName.exec(name)
  if (!found) {
    throw new IcaError(
      'malformed',
      'The parameter "name" is not where a challenge has its record: "_acme-challenge." or "_validation-persist." and a domain.',
    )
  }
  parseIdentifier('dns', found[2], { lab })
  if (name.length > 253) throw new IcaError('malformed', 'The parameter "name" is longer than a name can be.')
  return name
}

const mostValues = 20
const longestValue = 600

const stateOf = (values: readonly string[], expected: string): 'right' | 'wrong' | 'missing' =>
  values.includes(expected) ? 'right' : values.length > 0 ? 'wrong' : 'missing'

const sentences = {
  right: 'It has the expected value.',
  wrong: 'It has other values only.',
  missing: 'It has no such record yet.',
}

const serverOf = ({ server, address, answer }: ServerLook, expected: string): Server => {
  if (answer.kind === 'failure')
    return { server, address, state: 'unreachable', values: [], ttl: null, detail: `It gives no answer: ${answer.reason}.` }
  const values = answer.kind === 'records' ? answer.values : []
  const state = stateOf(values, expected)
  return { server, address, state, values: shown(values), ttl: answer.kind === 'records' ? answer.ttl : null, detail: sentences[state] }
}

const shown = (values: readonly string[]): string[] => values.slice(0, mostValues).map((value) => value.slice(0, longestValue))

const resolverMs = 2_000

/** Asks the resolver where that can do no harm: when it has nothing to remember but what is right. In a laboratory also where there is nobody else to ask. */
const askResolver = async (deps: DnsDeps, servers: readonly Server[], name: string, expected: string): Promise<DnsLook['resolver']> => {
  const answering = servers.filter(({ state }) => state !== 'unreachable')
  const safe = answering.length > 0 ? answering.every(({ state }) => state === 'right') : deps.lab
  if (!safe) {
    const why =
      answering.length > 0
        ? 'It is asked when the servers are right.'
        : 'None of the servers answers, so it is not asked: it would remember that there is nothing.'
    return { state: 'notAsked', values: [], detail: why }
  }
  const answer = await withDeadline(resolverMs, new AbortController().signal, (signal) => deps.resolver.txt(name, signal))
  if (answer.kind === 'failure') return { state: 'unreachable', values: [], detail: `It gives no answer: ${answer.reason}.` }
  const values = answer.kind === 'records' ? answer.records : []
  const state = stateOf(values, expected)
  return {
    state,
    values: shown(values),
    detail: state === 'right' ? sentences.right : `${sentences[state]} It may remember an older answer for a while.`,
  }
}

const lookAt = async (deps: DnsDeps, name: string, expected: string): Promise<DnsLook> => {
  const look = await lookAtServers(deps, name, new AbortController().signal)
  const servers = look.servers.map((server) => serverOf(server, expected))
  const resolver = await askResolver(deps, servers, name, expected)
  const answering = servers.filter(({ state }) => state !== 'unreachable')
  return {
    name,
    cname: look.alias,
    zone: look.zone,
    servers,
    resolver,
    complete: resolver.state === 'right' && answering.every(({ state }) => state === 'right'),
    problem: look.problem,
  }
}

export const dnsRoutes = (deps: DnsDeps): Route[] => {
  const memo = createMemo<DnsLook>(deps.clock, 1_000, 1_000)
  return [
    route({
      path: '/api/dns',
      summary: "A challenge's TXT record at each authoritative server, now",
      description:
        'Finds the servers of the zone (or of the zone that an alias leads to) and asks each of their addresses. The resolver that validates is asked last, and only when ' +
        'the servers are right: asked before, it would remember that there is no record.',
      parameters: z.object({
        name: z
          .string()
          .max(300, 'is longer than a name can be.')
          .meta({ description: 'Where a challenge has its record.', examples: ['_acme-challenge.example.org'] }),
        expect: z
          .string()
          .min(1, 'is empty: give the value that the record should have.')
          .max(longestValue, `is longer than ${longestValue} characters.`)
          .meta({ description: 'The value that the record should have.', examples: ['gfj9Xq...Rg85nM'] }),
      }),
      answer: dnsLook,
      weight: 'heavy',
      maxAge: null,
      handle({ name, expect }) {
        const read = readName(name, deps.lab)
        return memo(`${read} ${expect}`, () => lookAt(deps, read, expect))
      },
    }),
  ]
}
