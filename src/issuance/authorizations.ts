import { randomBytes } from 'node:crypto'
import { IcaError, type Subproblem } from '../errors.js'
import { domainOf, type Identifier, parseIdentifier, splitWildcard } from '../identifier.js'
import type { Account, Authorization, Challenge, ChallengeType } from '../model.js'
import type { Profile } from '../pki/profile.js'
import { checkPolicy, countAuthorization } from './admission.js'
import { act, type Ica, methodsOf, newId, type Who } from './ica.js'

/** A reused authorization must outlive the time a client needs to finish. More than what validate.ts leaves to a proof that must not be reused. */
const REUSE_MARGIN_MS = 24 * 3_600_000

type Target = { identifier: Identifier; wildcard: boolean }

/** What an authorization for an ordered identifier is for: the wildcard label becomes a mark (RFC 8555 §7.1.4). */
const targetOf = ({ type, value }: Identifier): Target => {
  const { base, wildcard } = splitWildcard(value)
  return { identifier: { type, value: base }, wildcard }
}

/** Who controls a domain controls its services: the `dns` authorization that covers a `srv` identifier too. */
const coveringTarget = (identifier: Identifier): Target[] =>
  identifier.type === 'srv' ? [{ identifier: { type: 'dns', value: domainOf(identifier) }, wildcard: false }] : []

const isFor = (authorization: Authorization, { identifier, wildcard }: Target): boolean =>
  authorization.identifier.type === identifier.type && authorization.identifier.value === identifier.value && authorization.wildcard === wildcard

/** The authorization among these that stands for an ordered identifier: its own, or for a service that of its whole domain. */
export const authorizationFor = (authorizations: readonly Authorization[], identifier: Identifier): Authorization | undefined => {
  for (const target of [targetOf(identifier), ...coveringTarget(identifier)]) {
    const found = authorizations.find((authorization) => isFor(authorization, target))
    if (found) return found
  }
  return undefined
}

/** How an authorization was validated; null where it is not. */
export const provenBy = (authorization: Authorization | undefined): ChallengeType | null =>
  authorization?.challenges.find((challenge) => challenge.status === 'valid')?.type ?? null

/** A pending authorization with a challenge of each type that applies and that `allowed` has. There may be none. */
const makeAuthorization = (
  ica: Ica,
  accountId: string,
  ordered: Identifier,
  allowed: readonly ChallengeType[] | null,
  now: number,
): Authorization => {
  const { identifier, wildcard } = targetOf(ordered)
  const id = newId(now)
  const challenges = methodsOf(ica)
    .filter((method) => method.appliesTo(identifier, wildcard) && (allowed === null || allowed.includes(method.type)))
    .map(
      (method): Challenge => ({
        id: newId(now),
        authorizationId: id,
        type: method.type,
        token: randomBytes(32).toString('base64url'),
        status: 'pending',
        validatedAt: null,
        error: null,
        attempts: 0,
        nextAttemptAt: null,
      }),
    )
    .sort((a, b) => (a.type < b.type ? -1 : 1)) // as the store gives them back
  return { id, accountId, identifier, wildcard, createdAt: now, expiresAt: now + ica.settings.pendingLifetimeMs, deactivatedAt: null, challenges }
}

const refuseUnprovable = (profile: Profile, identifiers: readonly Identifier[]): never => {
  const types = profile.challengeTypes.join(', ')
  const subproblems = identifiers.map((identifier): Subproblem => {
    const detail = `None of the challenges of the profile "${profile.name}" (${types}) can prove "${identifier.value}".`
    return { code: 'rejectedIdentifier', detail, identifier }
  })
  throw new IcaError('rejectedIdentifier', subproblems[0]?.detail ?? '', { subproblems })
}

/**
 * The authorizations that an order of `identifiers` needs, in their order: those that the account has and that were validated as the profile allows (`reused`), and
 * new ones. A service needs none where its domain is authorized, be it in the same order. Throws rejectedIdentifier for what no challenge of the profile can prove.
 */
export const authorizationsFor = async (
  ica: Ica,
  account: Account,
  identifiers: readonly Identifier[],
  profile: Profile,
  now: number,
): Promise<{ authorizations: Authorization[]; reused: Authorization[] }> => {
  const wanted = identifiers.flatMap((identifier) => [targetOf(identifier), ...coveringTarget(identifier)])
  const known = await ica.store.reusableAuthorizations(account.id, wanted, now + REUSE_MARGIN_MS, profile.challengeTypes)
  const chosen = new Set<Authorization>()
  // Whole domains first: a service may find its domain among them.
  for (const identifier of [...identifiers.filter((i) => i.type !== 'srv'), ...identifiers.filter((i) => i.type === 'srv')]) {
    chosen.add(
      authorizationFor([...chosen], identifier) ??
        authorizationFor(known, identifier) ??
        makeAuthorization(ica, account.id, identifier, profile.challengeTypes, now),
    )
  }
  const authorizations = [...chosen]
  const unprovable = identifiers.filter((identifier) => authorizationFor(authorizations, identifier)?.challenges.length === 0)
  if (unprovable.length > 0) refuseUnprovable(profile, unprovable)
  return { authorizations, reused: authorizations.filter((authorization) => known.includes(authorization)) }
}

/**
 * newAuthz (RFC 8555 §7.4.1) from a decoded payload: an authorization ahead of any order, with every challenge that applies; which of them count is decided by the
 * profile of the order that comes. Throws malformed (for wildcards too, which the RFC leaves out), rejectedIdentifier, unsupportedIdentifier.
 */
export const preAuthorize = async (ica: Ica, account: Account, payload: Record<string, unknown>, who: Who): Promise<Authorization> => {
  const { type, value } = (payload.identifier ?? {}) as { type?: unknown; value?: unknown }
  const identifier = parseIdentifier(type, value, { lab: ica.settings.lab })
  if (splitWildcard(identifier.value).wildcard) {
    throw new IcaError('malformed', `"${identifier.value}" is a wildcard, which can't be authorized beforehand (RFC 8555 §7.4.1). Order it instead.`)
  }
  await checkPolicy(ica, account, [identifier])
  const authorization = makeAuthorization(ica, account.id, identifier, null, ica.clock.now())
  if (authorization.challenges.length === 0)
    throw new IcaError('rejectedIdentifier', `This CA has no challenge that could prove "${identifier.value}".`)
  const audit = act(ica, who, 'authorization.created', `authorization:${authorization.id}`, { identifier })
  await countAuthorization(ica, account, authorization.identifier, (charges) => ica.store.createAuthorization(authorization, audit, charges))
  return authorization
}
