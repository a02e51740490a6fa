import { printable } from './format.js'

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/**
 * Any text as content or attribute value of XML 1.0 and HTML. Characters that neither may hold, or that nobody sees, become
 * visible escapes; line feeds stay.
 */
export function escapeXml(text: string): string {
  return text
    .split('\n')
    .map(printable)
    .join('\n')
    .replace(/[\uFFFE\uFFFF]/g, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)
    .replace(/[&<>"']/g, (c) => entities[c] as string)
}

/** At most `length` characters; no half of a surrogate pair is left. */
export function shortened(text: string, length: number): string {
  const characters = Array.from(text)
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join('')}…`
}
