/** The pages of the web app and their paths: the server answers exactly these with the app, the app's router shows them. Imports nothing, because the app shares it. */

export type PageName = 'front' | 'request' | 'mine' | 'lookup' | 'check' | 'api' | 'trust' | 'server' | 'profile'

/** The software that there are instructions for, at `/servers/<name>`. */
export const servers = ['prosody', 'ejabberd', 'openfire', 'snikket', 'mongooseim', 'tigase'] as const
export type ServerName = (typeof servers)[number]

const patterns: [PageName, RegExp][] = [
  ['front', /^\/$/],
  ['request', /^\/request\/?$/],
  ['mine', /^\/mine\/?$/],
  ['lookup', /^\/lookup(\/|\/[0-9A-Fa-f]{1,64})?$/],
  ['check', /^\/check\/?$/],
  ['api', /^\/api\/?$/],
  ['trust', /^\/trust\/?$/],
  ['profile', /^\/profiles\/[a-z0-9-]{1,64}$/],
  ['server', new RegExp(`^/servers/(${servers.join('|')})$`)],
]

/** The page at a path (without query); null where there is none. */
export const pageAt = (path: string): PageName | null => patterns.find(([, pattern]) => pattern.test(path))?.[0] ?? null
