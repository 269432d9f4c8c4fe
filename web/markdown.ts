/** The little Markdown that docs/terms.md and docs/cps.md use: headings, paragraphs, numbered lists, tables, `code`, **bold**, [links](…). */

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const inline = (text: string): string =>
  escaped(text)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    // The documents link to each other as files; here they are pages.
    .replace(
      /\[([^\]]+)\]\(([^)]+)\)/g,
      (_, label: string, target: string) => `<a href="${target.replace(/^(\w+)\.md$/, '/$1').replaceAll('"', '%22')}">${label}</a>`,
    )

const row = (line: string, cell: 'th' | 'td'): string =>
  `<tr>${line
    .split('|')
    .slice(1, -1)
    .map((text) => `<${cell}>${inline(text.trim())}</${cell}>`)
    .join('')}</tr>`

const block = (text: string): string => {
  const lines = text.split('\n')
  const [first = '', second = ''] = lines
  const heading = /^(#{1,3}) (.*)$/.exec(first)
  if (heading) return `<h${heading[1]?.length}>${inline(heading[2] ?? '')}</h${heading[1]?.length}>`
  if (first.startsWith('|') && /^[|\s:-]+$/.test(second)) {
    return `<table><thead>${row(first, 'th')}</thead><tbody>${lines
      .slice(2)
      .map((line) => row(line, 'td'))
      .join('')}</tbody></table>`
  }
  if (/^\d+\. /.test(first)) {
    const items = text.split(/^\d+\. /m).slice(1)
    return `<ol>${items.map((item) => `<li>${inline(item.trim())}</li>`).join('')}</ol>`
  }
  return `<p>${inline(text)}</p>`
}

/** HTML of a document. Raw HTML in it is shown, not obeyed. */
export const toHtml = (markdown: string): string =>
  markdown
    .replaceAll('\r\n', '\n')
    .split(/\n{2,}/)
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map(block)
    .join('\n')
