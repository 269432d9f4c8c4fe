import { readFileSync } from 'node:fs'
import preact from '@preact/preset-vite'
import { defineConfig, type Plugin } from 'vite'
import { toHtml } from './markdown.js'

/** Puts a document of the repository where a page says `<!-- document: path -->`. */
const documents: Plugin = {
  name: 'documents',
  transformIndexHtml: (html) =>
    html.replace(/<!-- document: (\S+) -->/g, (_, file: string) => toHtml(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'))),
}

const page = (name: string): string => `${import.meta.dirname}/${name}.html`

export default defineConfig({
  plugins: [preact(), documents],
  build: {
    target: 'es2022',
    // The page's content security policy allows files of this origin and nothing inline.
    assetsInlineLimit: 0,
    modulePreload: false,
    rolldownOptions: { input: { index: page('index'), terms: page('terms'), cps: page('cps') } },
  },
  server: { proxy: { '/acme': 'http://localhost:8080', '/api': 'http://localhost:8080', '/ca': 'http://localhost:8080' } },
})
