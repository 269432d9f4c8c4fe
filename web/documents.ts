/** What is made when the page is built: the frame around the app, the documents that need no script, guides as modules, and smaller forms of every file. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'
import { appFrame, frame, missing } from './frame.js'
import { headingsOf, toBlocks, toHtml } from './markdown.js'
import { text } from './src/text/en.js'

const docs = path.join(import.meta.dirname, '..', 'docs')
const read = (file: string): string => readFileSync(path.join(docs, file), 'utf8')

/** Served at `/<name>`, from `docs/<name>.md`. */
const documents = [
  { name: 'terms', contents: false },
  { name: 'cps', contents: true },
]

const documentHtml = ({ name, contents }: (typeof documents)[number], head: string): string => {
  const markdown = read(`${name}.md`)
  const [title, ...headings] = headingsOf(markdown)
  const links = headings.filter(({ level }) => level === 2).map(({ id, text }) => `<li><a href="#${id}">${text}</a></li>`)
  const table = `<nav class="contents" aria-label="${text.shell.contents}"><h2>${text.shell.contents}</h2><ul>${links.join('')}</ul></nav>`
  const article = `<article>${toHtml(markdown)}</article>`
  return frame({
    path: `/${name}`,
    title: `${title?.text} · ${text.shell.site}`,
    head,
    main: contents ? `<div class="document">${table}${article}</div>` : article,
  })
}

/** `index.html` in the frame; beside it the documents and the page for what is missing, with the app's stylesheet. */
export const framed: Plugin = {
  name: 'framed',
  transformIndexHtml: { order: 'pre', handler: (html) => appFrame(/<head>([\s\S]*)<\/head>/.exec(html)?.[1]?.trim() ?? '') },
  generateBundle: {
    order: 'post',
    handler(_, bundle) {
      const style = Object.keys(bundle).find((name) => /^assets\/index-.*\.css$/.test(name))
      if (!style) throw new Error('There is no stylesheet in the build.')
      const head = `<link rel="stylesheet" href="/${style}">`
      for (const document of documents) this.emitFile({ type: 'asset', fileName: `${document.name}.html`, source: documentHtml(document, head) })
      this.emitFile({ type: 'asset', fileName: '404.html', source: missing(head) })
    },
  },
}

const guide = 'virtual:guide/'

/** `import('virtual:guide/prosody')` is `docs/servers/prosody.md` in blocks; null where there is none. */
export const guides: Plugin = {
  name: 'guides',
  resolveId: (id) => (id.startsWith(guide) ? `\0${id}` : null),
  load(id) {
    if (!id.startsWith(`\0${guide}`)) return null
    const file = `servers/${id.slice(guide.length + 1)}.md`
    const there = existsSync(path.join(docs, file))
    if (there) this.addWatchFile(path.join(docs, file))
    return `export default ${there ? JSON.stringify(toBlocks(read(file))) : 'null'}`
  },
}

const compressible = /\.(html|js|css|svg|json|txt)$/
/** Below this a packet is a packet. */
const WORTHWHILE = 600

const compress = (folder: string): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) compress(file)
    else if (compressible.test(file)) {
      const body = readFileSync(file)
      if (body.length < WORTHWHILE) continue
      writeFileSync(
        `${file}.br`,
        brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: body.length } }),
      )
      writeFileSync(`${file}.gz`, gzipSync(body, { level: 9 }))
    }
  }
}

/** Each text file also as `.br` and `.gz`, so that the server compresses nothing. */
export const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  writeBundle: {
    order: 'post',
    sequential: true,
    handler: ({ dir }) => {
      if (dir) compress(dir)
    },
  },
}
