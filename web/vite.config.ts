import preact from '@preact/preset-vite'
import { defineConfig } from 'vite'
import { compressed, framed, guides } from './documents.js'

export default defineConfig({
  plugins: [preact(), framed, guides, compressed],
  build: {
    target: 'es2022',
    // The page's content security policy allows files of this origin and nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The list of public suffixes is a constant that would be repeated at each of its uses.
    rolldownOptions: { optimization: { inlineConst: false } },
  },
  server: { proxy: { '/acme': 'http://localhost:8080', '/api/': 'http://localhost:8080', '/ca/': 'http://localhost:8080' } },
})
