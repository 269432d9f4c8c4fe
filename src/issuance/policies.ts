/** What the operator has decided, kept in memory: every process looks once a second whether it has changed, when somebody needs it. */
import type { Clock } from '../clock.js'
import type { RenewalMark } from '../model.js'
import type { PolicyData, Store } from '../store/store.js'
import { compileOverrides, type Overrides } from './limits.js'
import { compileNameRules, type NameRules } from './name-rules.js'

export type Policy = { version: number; names: NameRules; overrides: Overrides; marks: readonly RenewalMark[] }

export type Policies = {
  /** At most a second old. Rejects with unavailable where the database is away: nothing is decided on what may be out of date. */
  current(): Promise<Policy>
}

const MAX_AGE_MS = 1000

const compile = ({ version, rules, overrides, marks }: PolicyData): Policy => ({
  version,
  names: compileNameRules(rules),
  overrides: compileOverrides(overrides),
  marks,
})

export const createPolicies = (store: Pick<Store, 'policyVersion' | 'policies'>, clock: Clock): Policies => {
  let known: { policy: Policy; checkedAt: number } | undefined
  let asking: Promise<Policy> | undefined

  const ask = async (): Promise<Policy> => {
    const checkedAt = clock.now()
    const policy = known && (await store.policyVersion()) === known.policy.version ? known.policy : compile(await store.policies())
    known = { policy, checkedAt }
    return policy
  }

  return {
    current() {
      // A clock that was set back makes it look again, too.
      if (known && Math.abs(clock.now() - known.checkedAt) < MAX_AGE_MS) return Promise.resolve(known.policy)
      asking ??= ask().finally(() => {
        asking = undefined
      })
      return asking
    },
  }
}
