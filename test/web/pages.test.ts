/** The built page: what is served where, how large it is, and that nothing in it needs more than the strict policy allows. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { readNetworks } from '../../src/config-values.js'
import { createMeter } from '../../src/metrics.js'
import { createPages } from '../../src/pages.js'
import { createWebListener } from '../../src/web.js'
import { headingsOf, toBlocks, toHtml } from '../../web/markdown.js'
import { text } from '../../web/src/text/en.js'
import { mineText } from '../../web/src/text/en-mine.js'
import { requestText } from '../../web/src/text/en-request.js'

const home = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(path.join(tmpdir(), 'ica-web-'))
const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const server = createServer()
let base = ''

const filesBelow = (start: string): string[] =>
  readdirSync(start, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(start, entry.name)
    return entry.isDirectory() ? filesBelow(full) : [full]
  })

const ask = (place: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(base + place, { headers: { Accept: 'text/html', ...headers } })

type Chunk = { file: string; imports?: string[]; dynamicImports?: string[]; css?: string[] }
const manifest = (): Record<string, Chunk> => JSON.parse(readFileSync(path.join(folder, '.vite', 'manifest.json'), 'utf8'))

/** The files of chunks and of all that they import; with what they ask for later (`later`), but the libraries of PKCS #12, which few want. */
const filesOf = (entries: string[], later = false): string[] => {
  const chunks = manifest()
  const found = new Set<string>()
  const visit = (name: string): void => {
    const chunk = chunks[name]
    assert.ok(chunk, name)
    if (found.has(chunk.file)) return
    for (const file of [chunk.file, ...(chunk.css ?? [])]) found.add(file)
    for (const next of [...(chunk.imports ?? []), ...(later ? (chunk.dynamicImports ?? []) : [])])
      if (!/pkcs12|index\.html|guide|pages\//.test(next)) visit(next)
  }
  for (const entry of entries) visit(entry)
  return [...found]
}

/** The document, and files as they are sent. */
const sent = async (place: string, files: string[]): Promise<{ size: number; bodies: string[] }> => {
  const answers = await Promise.all([place, '/favicon.svg', ...files.map((file) => `/${file}`)].map((one) => ask(one, { 'Accept-Encoding': 'gzip' })))
  const sizes = answers.map(({ headers }) => Number(headers.get('content-length')))
  assert.ok(answers.every(({ status }) => status === 200) && sizes.every((size) => size > 0))
  return { size: sizes.reduce((sum, size) => sum + size), bodies: await Promise.all(answers.map((answer) => answer.text())) }
}

before(async () => {
  await promisify(execFile)(
    process.execPath,
    [path.join(home, 'node_modules/vite/bin/vite.js'), 'build', 'web', '--outDir', folder, '--emptyOutDir', '--manifest'],
    { cwd: home },
  )
  const listener = createWebListener({
    config: { url: 'https://ica.example.org', trustedProxies: [], metricsFrom: readNetworks('127.0.0.1'), oneListener: false },
    log: silent,
    meter: createMeter(),
    acme: async () => {},
    api: () => false,
    confirm: () => null,
    pages: createPages(folder),
    status: () => false,
    readiness: async () => ({ ready: true, checks: {} }),
  })
  server.on('request', listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

after(() => {
  server.close()
  server.closeAllConnections()
  rmSync(folder, { recursive: true })
})

describe('the paths of the page', () => {
  const app = [
    '/',
    '/request',
    '/mine',
    '/lookup',
    '/lookup/0aF3',
    '/lookup?domain=example.org',
    '/check',
    '/api',
    '/trust',
    '/servers/prosody',
    '/servers/tigase',
    '/profiles/xmpp-server',
  ]
  for (const place of app) {
    it(`${place} is the app`, async () => {
      const response = await ask(place)
      assert.equal(response.status, 200)
      assert.match(await response.text(), /<main id="content">[\s\S]*<noscript>/)
      assert.equal(response.headers.get('cache-control'), 'no-cache')
    })
  }

  for (const [place, title] of [
    ['/terms', 'Terms of service'],
    ['/cps', 'Certification practice statement'],
  ] as const) {
    it(`${place} is a document that needs no script`, async () => {
      const html = await (await ask(place)).text()
      assert.match(html, new RegExp(`<title>${title}`))
      assert.match(html, new RegExp(`<h1[^>]*>${title}</h1>`))
      assert.doesNotMatch(html, /<script/)
    })
  }

  it('/cps has a table of contents whose links lead somewhere', async () => {
    const html = await (await ask('/cps')).text()
    const links = [...html.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)
    assert.ok(links.length > 8)
    for (const id of links) assert.match(html, new RegExp(`id="${id}"`), id)
  })

  for (const place of ['/nothing', '/lookup/xyz', '/servers/apache', '/requests', '/index', '/404', '/index.html', '/assets/x.js', '/lookup/1/2']) {
    it(`${place} is missing: a page for browsers, a sentence for others`, async () => {
      const [page, sentence] = [await ask(place), await ask(place, { Accept: '*/*' })]
      assert.deepEqual([page.status, sentence.status], [404, 404])
      assert.match(await page.text(), /<h1>There is no such page<\/h1>/)
      assert.match(sentence.headers.get('content-type') ?? '', /text\/plain/)
      assert.equal(page.headers.get('content-security-policy'), (await ask('/')).headers.get('content-security-policy'))
    })
  }
})

describe('what is sent', () => {
  it('is compressed as the client takes it, each form with its own ETag', async () => {
    const [script = ''] = /\/assets\/index-[^"]+\.js/.exec(await (await ask('/')).text()) ?? []
    const file = readFileSync(path.join(folder, script))
    const etags = new Set<string | null>()
    for (const [accepted, coding] of [
      ['br, gzip', 'br'],
      ['gzip', 'gzip'],
      ['br;q=0, gzip', 'gzip'],
      ['identity', null],
    ] as const) {
      const response = await ask(script, { 'Accept-Encoding': accepted })
      assert.equal(response.headers.get('content-encoding'), coding)
      assert.equal(response.headers.get('vary'), 'Accept-Encoding')
      assert.match(response.headers.get('cache-control') ?? '', /immutable/)
      // fetch has decompressed it.
      assert.ok(Buffer.from(await response.arrayBuffer()).equals(file), accepted)
      etags.add(response.headers.get('etag'))
      const again = await ask(script, { 'Accept-Encoding': accepted, 'If-None-Match': `"other", W/${response.headers.get('etag')}` })
      assert.equal(again.status, 304)
    }
    assert.equal(etags.size, 3)
  })

  it('has its compressed forms from the builder, and they are those of the file', () => {
    const files = filesBelow(folder)
    const large = files.filter((file) => /\.(js|css|html)$/.test(file) && readFileSync(file).length > 1000)
    assert.ok(large.length > 5)
    for (const file of large) {
      assert.ok(brotliDecompressSync(readFileSync(`${file}.br`)).equals(readFileSync(file)))
      assert.ok(gunzipSync(readFileSync(`${file}.gz`)).equals(readFileSync(file)))
    }
  })

  it('does not serve the compressed files as such', async () => assert.equal((await ask('/index.html.br')).status, 404))

  for (const [place, page] of [
    ['/', 'src/pages/front.tsx'],
    ['/request', 'src/request/page.tsx'],
    ['/mine', 'src/mine/page.tsx'],
  ] as const) {
    it(`is below 60 kB for ${place} at first, without certificate code, public suffixes and what other pages say`, async () => {
      const files = filesOf(['index.html', page])
      assert.ok(files.length >= 6, files.join(' '))
      const { size, bodies } = await sent(place, files)
      assert.ok(size < 60_000, `${size} bytes`)
      // Object identifiers and class names of the certificate libraries, a name of the list of public suffixes, and a word of the page about the API.
      for (const body of bodies) assert.doesNotMatch(body, /2\.5\.29\.17|pkijs|asn1js|AsnConvert|fromBER|kitakyushu|openapi\.json/)
    })
  }

  it('is below 150 kB for the whole way to a certificate', async () => {
    const { size, bodies } = await sent('/request', filesOf(['index.html', 'src/request/page.tsx'], true))
    assert.ok(size < 150_000, `${size} bytes`)
    for (const part of ['2.5.29.17', 'kitakyushu']) assert.equal(bodies.filter((body) => body.includes(part)).length, 1, part)
  })
})

describe('the strict policy', () => {
  it('is the one that the pages are made for', async () => {
    const policy = (await ask('/')).headers.get('content-security-policy') ?? ''
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'/)
    assert.doesNotMatch(policy, /unsafe|data:|\*/)
  })

  it('forbids nothing that is in the HTML', () => {
    for (const file of filesBelow(folder).filter((name) => name.endsWith('.html'))) {
      const html = readFileSync(file, 'utf8')
      assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|["'](javascript|data):/i, file)
      for (const [, attributes = '', body = ''] of html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)) {
        assert.match(attributes, /src="\/assets\//, file)
        assert.equal(body, '', file)
      }
      assert.doesNotMatch(html, /(?:src|<link[^>]*href)="(?:https?:)?\/\//, file)
    }
  })

  it('forbids nothing that is in stylesheets and scripts', () => {
    for (const file of filesBelow(folder).filter((name) => /\.(css|js)$/.test(name))) {
      const code = readFileSync(file, 'utf8')
      if (file.endsWith('.css')) assert.doesNotMatch(code, /url\(|@import|@font-face/, file)
      assert.doesNotMatch(code, /["'`(]data:[a-z]+\//, file)
      assert.doesNotMatch(code, /\beval\(|new Function\(/, file)
    }
  })

  it('is kept by the sources: no style attributes, HTML only from documents', () => {
    const sources = filesBelow(path.join(home, 'web/src')).filter((name) => name.endsWith('.tsx'))
    for (const file of sources) {
      const source = readFileSync(file, 'utf8')
      assert.doesNotMatch(source, /\sstyle=/, file)
      if (!file.endsWith('pages/server.tsx')) assert.doesNotMatch(source, /dangerouslySetInnerHTML|innerHTML/, file)
    }
  })
})

/** The paths (`proof.dns.lead`) of all texts below a value; a list of texts is one. */
const pathsIn = (value: unknown, at: string[] = []): string[] =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.entries(value).flatMap(([key, below]) => pathsIn(below, [...at, key]))
    : [at.join('.')]

/** What a source says of the texts `exported` by a file: each path that it reads, by whatever name it has imported or shortened it. */
const pathsRead = (source: string, file: string, exported: string): string[] => {
  const [, imported = ''] = new RegExp(`import \\{([^}]*)\\} from '[./\\w]*/text/${file}\\.js'`).exec(source) ?? []
  const [, name] = new RegExp(`\\b${exported}(?: as (\\w+))?\\b`).exec(imported) ?? []
  if (!imported.includes(exported)) return []
  const aliases = new Map([[name ?? exported, '']])
  for (const [, short = '', from = '', below = ''] of source.matchAll(/const (\w+) = (\w+)\.([\w.]+)$/gm))
    if (aliases.get(from) === '') aliases.set(short, below)
  for (const [, shorts = '', from = ''] of source.matchAll(/const \{ ([\w, ]+) \} = (\w+)$/gm))
    if (aliases.get(from) === '') for (const short of shorts.split(', ')) aliases.set(short, short)
  return [...aliases].flatMap(([alias, start]) =>
    [...source.matchAll(new RegExp(`(?<![.\\w])${alias}((?:\\.\\w+)+)`, 'g'))].map(([, rest = '']) => `${start}${rest}`.replace(/^\./, '')),
  )
}

describe('texts', () => {
  const code = [...filesBelow(path.join(home, 'web/src')), path.join(home, 'web/frame.ts'), path.join(home, 'web/documents.ts')]
    .filter((name) => /\.tsx?$/.test(name) && !name.includes(`${path.sep}text${path.sep}`))
    .map((name) => readFileSync(name, 'utf8'))

  for (const [file, exported, texts] of [
    ['en', 'text', text],
    ['en-request', 'requestText', requestText],
    ['en-mine', 'mineText', mineText],
  ] as const) {
    it(`of ${file}.ts are all used`, () => {
      const read = [...new Set(code.flatMap((source) => pathsRead(source, file, exported)))]
      assert.ok(read.length > 20)
      // Read by its own path, further down in it (a method of the text), or with all that is around it: `states[state]`.
      const isRead = (one: string) => read.some((used) => used === one || used.startsWith(`${one}.`) || one.startsWith(`${used}.`))
      const unused = pathsIn(texts).filter((one) => !isRead(one))
      assert.deepEqual(unused, [])
    })
  }

  it('stand in the texts and not in the components', () => {
    const said = code.flatMap((source) => [...source.matchAll(/>\s*([A-Z][a-z]+(?: [a-z]+){2,}[^<>{}]*)</g)].map(([, words]) => words))
    assert.deepEqual(said, [])
  })
})

describe('Markdown', () => {
  const cases: [string, string][] = [
    ['A <b> & `c <d>`', '<p>A &lt;b&gt; &amp; <code>c &lt;d&gt;</code></p>'],
    ['**x** `**y**`', '<p><strong>x</strong> <code>**y**</code></p>'],
    ['# One two', '<h1 id="one-two">One two</h1>'],
    ['- a\n- b\n  c', '<ul><li>a</li><li>b\nc</li></ul>'],
    ['Do:\n1. a\n2. b', '<p>Do:</p>\n<ol><li>a</li><li>b</li></ol>'],
    ['[t](terms.md) [p](servers/prosody.md#x) [f](../src/x.ts)', '<p><a href="/terms">t</a> <a href="/servers/prosody#x">p</a> f</p>'],
    ['[x](javascript:alert)', '<p>x</p>'],
    ['> say', '<blockquote><p>say</p></blockquote>'],
  ]
  for (const [markdown, html] of cases) it(JSON.stringify(markdown), () => assert.equal(toHtml(markdown), html))

  it('gives code in pieces of its own, as it is', () => {
    assert.deepEqual(toBlocks('a\n\n```sh\n# no heading <x>\n\nb\n```\n\nc'), [
      { html: '<p>a</p>' },
      { code: '# no heading <x>\n\nb', language: 'sh' },
      { html: '<p>c</p>' },
    ])
    assert.deepEqual(headingsOf('# A\n\n```\n# no\n```\n\n## `b` c'), [
      { level: 1, id: 'a', text: 'A' },
      { level: 2, id: 'b-c', text: 'b c' },
    ])
  })
})
