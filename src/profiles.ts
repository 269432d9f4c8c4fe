/**
 * The profiles of this CA: those that come with the program, changed and joined by those of the operator's file (ICA_PROFILES; docs/profiles.md has an example). Pure: the
 * file is text here.
 */
import { z } from 'zod'
import { identifierTypes } from './identifier.js'
import { challengeTypes } from './model.js'
import { keyKinds } from './pki/keys.js'
import { builtinProfiles, checkProfile, type Profile } from './pki/profile.js'

/** All profiles by name, and everything that is wrong with them, a line each. */
export type Profiles = { profiles: Map<string, Profile>; mistakes: string[] }

const units = { h: 3_600_000, d: 86_400_000 }

const duration = z
  .string()
  .regex(/^\d{1,5}[dh]$/, 'is not a time like "90d" or "160h"')
  .transform((text) => Number(text.slice(0, -1)) * units[text.slice(-1) as keyof typeof units])

const nameForm = z.enum(['dNSName', 'SRVName', 'XmppAddr'])

/** What an entry may change of the profile that it begins with. */
const entry = z.strictObject({
  extends: z.string().optional(),
  description: z.string().optional(),
  identifierTypes: z.array(z.enum(identifierTypes)).optional(),
  challengeTypes: z.array(z.enum(challengeTypes)).optional(),
  nameForms: z.array(nameForm).optional(),
  requestableNameForms: z.array(nameForm).optional(),
  keyKinds: z.array(z.enum(keyKinds)).optional(),
  extendedKeyUsage: z.array(z.enum(['serverAuth', 'clientAuth'])).optional(),
  validity: duration.optional(),
  maxValidity: duration.optional(),
  backdate: duration.optional(),
  statusPointers: z.boolean().optional(),
  mustStaple: z.enum(['never', 'asked', 'always']).optional(),
  policy: z.string().optional(),
})
type Entry = z.output<typeof entry>

const fileForm = z.strictObject({ profiles: z.record(z.string(), z.unknown()) })

const say = (where: string, error: z.ZodError): string[] =>
  error.issues.map((issue) => `${[where, ...issue.path].filter((part) => part !== '').join('.')}: ${issue.message}`)

/** Without the members that are absent, which would hide those of the profile that is extended. */
const given = <T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }

const change = (base: Profile, name: string, { extends: _, validity, maxValidity, backdate, ...rest }: Entry): Profile => ({
  ...base,
  ...given(rest),
  ...given({ validityMs: validity, maxValidityMs: maxValidity, backdateMs: backdate }),
  name,
})

/** Adds what the file says to the profiles. `false` in place of an entry withdraws a profile. */
const apply = (profiles: Map<string, Profile>, name: string, value: unknown, mistakes: string[]): void => {
  if (value === false) {
    if (!profiles.delete(name)) mistakes.push(`profiles.${name}: there is no such profile to withdraw`)
    return
  }
  const read = entry.safeParse(value)
  if (!read.success) {
    mistakes.push(...say(`profiles.${name}`, read.error))
    return
  }
  const base = profiles.get(read.data.extends ?? name)
  if (base) profiles.set(name, change(base, name, read.data))
  else if (read.data.extends === undefined)
    mistakes.push(`profiles.${name}: is new; say by "extends" which of ${[...profiles.keys()].join(', ')} it begins with`)
  else mistakes.push(`profiles.${name}.extends: there is no profile "${read.data.extends}" above it`)
}

const parseJson = (text: string, mistakes: string[]): unknown => {
  try {
    return JSON.parse(text)
  } catch (error) {
    mistakes.push(`is not JSON (${(error as Error).message})`)
    return { profiles: {} }
  }
}

/** The profiles of the program as the operator's file changes them; null for no file. Reports every mistake, and gives what can be used all the same. */
export const readProfiles = (text: string | null): Profiles => {
  const profiles = new Map(builtinProfiles.map((profile) => [profile.name, profile]))
  const mistakes: string[] = []
  if (text !== null) {
    const file = fileForm.safeParse(parseJson(text, mistakes))
    if (!file.success) mistakes.push(...say('', file.error))
    else for (const [name, value] of Object.entries(file.data.profiles)) apply(profiles, name, value, mistakes)
  }
  return { profiles, mistakes: [...mistakes, ...[...profiles.values()].flatMap(checkProfile)] }
}
