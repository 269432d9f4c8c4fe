/** The pages, each loaded when it is first looked at. */
import type { ComponentType } from 'preact'
import type { Facts } from '../../../src/api/facts.js'
import type { PageName, ServerName } from '../../../src/app-paths.js'
import { text } from '../text/en.js'

export type PageProps = { facts: Facts; path: string }

type Loader = () => Promise<{ default: ComponentType<PageProps> }>

const loaders: Record<PageName, Loader> = {
  front: () => import('../pages/front.js'),
  request: () => import('../request/page.js'),
  mine: () => import('../mine/page.js'),
  lookup: () => import('../pages/lookup.js'),
  check: () => import('../pages/check.js'),
  api: () => import('../pages/api.js'),
  trust: () => import('../pages/trust.js'),
  server: () => import('../pages/server.js'),
  profile: () => import('../pages/profile.js'),
}

const loaded = new Map<PageName, Promise<ComponentType<PageProps>>>()

/** The component of a page. A failed load is not remembered, so that it can be tried again. */
export const loadPage = (name: PageName): Promise<ComponentType<PageProps>> => {
  let page = loaded.get(name)
  if (!page) {
    page = loaders[name]().then((module) => module.default)
    page.catch(() => loaded.delete(name))
    loaded.set(name, page)
  }
  return page
}

/** The software that the path of a page `server` names: the router lets no other path come here. */
export const serverAt = (path: string): ServerName => path.split('/')[2] as ServerName

/** The profile that the path of a page `profile` names. */
export const profileAt = (path: string): string => path.split('/')[2] as string

/** The name of a page for the window's title and the history. */
export const titleOf = (name: PageName, path: string): string => {
  const { shell, servers } = text
  const titles: Record<PageName, () => string> = {
    front: () => text.front.title,
    request: () => shell.request,
    mine: () => shell.mine,
    lookup: () => text.lookup.title,
    check: () => shell.check,
    api: () => shell.api,
    trust: () => shell.trust,
    server: () => servers.title(servers.names[serverAt(path)]),
    profile: () => text.profile.title(profileAt(path)),
  }
  return titles[name]()
}
