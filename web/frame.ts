/** The HTML around every page, made when the page is built: header and footer are there before any script is, and move nothing when one comes. */
import { readFileSync } from 'node:fs'
import { text } from './src/text/en.js'

const { shell } = text
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

const link = (href: string, label: string): string => `<a href="${href}">${label}</a>`

const list = (links: [string, string][], current?: string): string =>
  `<ul>${links.map(([href, label]) => `<li>${link(href, label).replace('<a ', href === current ? '<a aria-current="page" ' : '<a ')}</li>`).join('')}</ul>`

export const pageLinks: [string, string][] = [
  ['/request', shell.request],
  ['/mine', shell.mine],
  ['/lookup', shell.lookup],
  ['/check', shell.check],
  ['/trust', shell.trust],
]

const mark =
  '<svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true"><path d="M10 8 3.5 16l6.5 8M22 8l6.5 8-6.5 8"/><path d="m11.5 16.5 3.5 3.5 6-7.5"/></svg>'

const header = `<a class="skip" href="#content">${shell.skip}</a>
<header>
<a class="brand" href="/">${mark}<span>${shell.brand}</span></a>
<nav aria-label="${shell.navigation}">${list(pageLinks)}</nav>
</header>`

const footer = (path: string): string => `<footer>
<nav aria-label="${shell.footer}">${list(
  [
    ['/cps', shell.cps],
    ['/terms', shell.terms],
    ['/api', shell.api],
    ['/acme/directory', shell.directory],
  ],
  path,
)}</nav>
<p>xmpp-ica ${version}</p>
</footer>`

/** Without scripts, everything but the form is reachable by other ways. */
const noScript = `<noscript><h1>${shell.site}</h1><p>${shell.noScript} ${link('/acme/directory', shell.directory)}, ${link('/api/ca', shell.facts)}, ${link('/cps', shell.cps)}.</p></noscript>`

type Document = { path: string; title: string; head: string; main: string }

/** A whole document, shown no sooner than its content begins: while it grows, the navigation before that would move. `head` is what goes into its head besides the usual: styles and scripts. */
export const frame = ({ path, title, head, main }: Document): string => `<!doctype html>
<html lang="${text.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="${shell.description}">
<title>${title}</title>
<link rel="icon" href="/favicon.svg" type="image/svg+xml">
<link rel="expect" href="#content" blocking="render">
${head}
</head>
<body>
${header}
<main id="content">
${main}
</main>
${footer(path)}
</body>
</html>
`

/** What `index.html` has for the app's pages. */
export const appFrame = (head: string): string => frame({ path: '/', title: shell.site, head, main: noScript })

/** A page for addresses where nothing is. */
export const missing = (head: string): string =>
  frame({
    path: '/404',
    title: `${shell.missing} · ${shell.site}`,
    head,
    main: `<h1>${shell.missing}</h1><p>${shell.missingDetail}</p>${list([['/', shell.start], ...pageLinks])}`,
  })
