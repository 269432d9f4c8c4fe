/** The little Markdown that the documents of `docs/` use: headings, paragraphs, lists, tables, code, **bold**, [links](…). Raw HTML in it is shown, not obeyed. */
import { servers } from '../src/app-paths.js'

/** A piece of a document: HTML, or text to be copied as it is (with the language that its fence names). */
export type Block = { html: string } | { code: string; language: string }

export type Heading = { level: number; id: string; text: string }

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** The documents link to each other as files; here some of them are pages. Other files of the repository are no pages: their links become text. */
const pageOf = (target: string): string | null => {
  if (/^(https?:|#|\/)/.test(target)) return target
  const [, name = '', hash = ''] = /^(?:\.\.?\/)*(?:servers\/)?([\w-]+)\.md(#.*)?$/.exec(target) ?? []
  if (name === 'cps' || name === 'terms') return `/${name}${hash}`
  return servers.some((server) => server === name) ? `/servers/${name}${hash}` : null
}

const inline = (text: string): string =>
  escaped(text)
    // Code first: what is in it is no other mark.
    .split(/(`[^`]+`)/)
    .map((part) =>
      part.startsWith('`') && part.length > 1
        ? `<code>${part.slice(1, -1)}</code>`
        : part.replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>').replace(/(^|[\s(])\*([^*\s][^*]*)\*/g, '$1<em>$2</em>'),
    )
    .join('')
    .replace(/\[((?:[^\]]|\](?!\())+)\]\(([^)\s]+)\)/g, (_, label: string, target: string) => {
      const page = pageOf(target)
      return page === null ? label : `<a href="${page.replaceAll('"', '%22')}">${label}</a>`
    })
    .replace(/&lt;(https?:\/\/[^\s&]+)&gt;/g, '<a href="$1">$1</a>')

const plain = (text: string): string => text.replace(/[`*]/g, '').replace(/\[([^\]]+)\]\([^)]*\)/g, '$1')

const idOf = (text: string): string =>
  plain(text)
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s-]/gu, '')
    .trim()
    .replace(/\s/g, '-')

const row = (line: string, cell: string): string =>
  `<tr>${line
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((text) => `<${cell}>${inline(text.trim().replaceAll('\\|', '|'))}</${cell.split(' ')[0]}>`)
    .join('')}</tr>`

const table = ([head = '', , ...rows]: string[]): string =>
  `<div class="scroll" tabindex="0" role="group"><table><thead>${row(head, 'th scope="col"')}</thead><tbody>${rows.map((line) => row(line, 'td')).join('')}</tbody></table></div>`

const bullet = /^(?:[-*]|\d+\.) /

const items = (text: string): string =>
  text
    .split(/^(?:[-*]|\d+\.) /m)
    .slice(1)
    .map((item) => `<li>${inline(item.trim().replace(/\n\s+/g, '\n'))}</li>`)
    .join('')

const block = (text: string): string => {
  const lines = text.split('\n')
  const [first = '', second = ''] = lines
  const heading = /^(#{1,4}) (.*)$/.exec(first)
  if (heading) {
    const [, marks = '', title = ''] = heading
    const rest = lines.slice(1).join('\n').trim()
    return `<h${marks.length} id="${idOf(title)}">${inline(title)}</h${marks.length}>${rest ? `\n${block(rest)}` : ''}`
  }
  if (first.startsWith('|') && /^[|\s:-]+$/.test(second)) return table(lines)
  if (first.startsWith('> ')) return `<blockquote>${block(text.replace(/^> ?/gm, ''))}</blockquote>`
  const list = lines.findIndex((line) => bullet.test(line))
  if (list === 0) return /^\d/.test(first) ? `<ol>${items(text)}</ol>` : `<ul>${items(text)}</ul>`
  if (list > 0) return `${block(lines.slice(0, list).join('\n'))}\n${block(lines.slice(list).join('\n'))}`
  return `<p>${inline(text)}</p>`
}

/** A document's pieces, in order. */
export const toBlocks = (markdown: string): Block[] =>
  markdown
    .replaceAll('\r\n', '\n')
    .split(/^(```[\s\S]*?^```$)/m)
    .flatMap((part): Block[] => {
      const fence = /^```(\S*).*\n([\s\S]*?)\n?```$/.exec(part)
      if (fence) return [{ code: fence[2] ?? '', language: fence[1] ?? '' }]
      const html = part
        .split(/\n{2,}/)
        .map((text) => text.trim())
        .filter((text) => text !== '' && !text.startsWith('<!--'))
        .map(block)
        .join('\n')
      return html ? [{ html }] : []
    })

/** HTML of a document. */
export const toHtml = (markdown: string): string =>
  toBlocks(markdown)
    .map((part) => ('html' in part ? part.html : `<pre tabindex="0"><code>${escaped(part.code)}</code></pre>`))
    .join('\n')

/** The headings of a document, the title first. */
export const headingsOf = (markdown: string): Heading[] =>
  [...markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^(#{1,4}) (.*)$/gm)].map(([, marks = '', title = '']) => ({
    level: marks.length,
    id: idOf(title),
    text: plain(title),
  }))
