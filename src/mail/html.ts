/** Text into HTML: everything that is not ours to trust goes through {@link escapeHtml}. */

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** For text between tags and for quoted attributes. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] as string)

/** A paragraph, a table of facts, or a link on a line of its own. */
export type Block = string | { facts: [name: string, value: string][] } | { link: string; label: string }

/** The blocks as plain text, lines of at most 76 characters where words allow. */
export const renderText = (blocks: readonly Block[]): string => {
  const wrap = (paragraph: string): string => {
    const lines: string[] = []
    for (const word of paragraph.split(' ')) {
      const last = lines.at(-1)
      if (last !== undefined && last.length + word.length < 76) lines[lines.length - 1] = `${last} ${word}`
      else lines.push(word)
    }
    return lines.join('\n')
  }
  return blocks
    .map((block) => {
      if (typeof block === 'string') return wrap(block)
      if ('link' in block) return `${block.label}:\n${block.link}`
      const width = Math.max(...block.facts.map(([name]) => name.length))
      return block.facts.map(([name, value]) => `  ${`${name}:`.padEnd(width + 2)}${value}`).join('\n')
    })
    .join('\n\n')
    .concat('\n')
}

const renderBlock = (block: Block): string => {
  if (typeof block === 'string') return `<p>${escapeHtml(block)}</p>`
  if ('link' in block) return `<p>${escapeHtml(block.label)}:<br><a href="${escapeHtml(block.link)}">${escapeHtml(block.link)}</a></p>`
  const rows = block.facts.map(([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`)
  return `<table>${rows.join('')}</table>`
}

/** The blocks as elements of a body. */
export const renderBlocks = (blocks: readonly Block[]): string => blocks.map(renderBlock).join('\n')

/** A whole document for a mail: no image, no style, nothing to fetch, so nothing that tells who read it. */
export const renderMailHtml = (title: string, blocks: readonly Block[]): string =>
  `<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head>\n<body>\n${renderBlocks(blocks)}\n</body>\n</html>\n`
