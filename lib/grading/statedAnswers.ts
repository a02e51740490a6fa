/** How much of what stands behind "answer is" is looked at. */
const maxStated = 400

/**
 * What an answer states: the rest of the line behind each "answer is" and "answer:", in any case, in their order. Of an empty rest
 * the next line with something in it. Takes time in proportion to the text's length.
 *
 * @param before - words that have to stand before them, such as `final `
 */
export function statedAnswers(text: string, before = ''): string[] {
  const phrase = new RegExp(`${before}answer[ \\t]{0,4}[*_]{0,3}[ \\t]{0,4}(?:is\\b|:)`, 'gi')
  const stated: string[] = []
  for (const { 0: found, index } of text.matchAll(phrase)) {
    const begin = index + found.length
    const line = firstLine(text.slice(begin, begin + maxStated).replace(/^[\s:*_]+/, ''))
    if (line !== '') stated.push(line)
  }
  return stated
}

const firstLine = (text: string): string => (text.split('\n', 1)[0] ?? '').trim()

/** The last line that is not blank. */
export function lastLine(text: string): string {
  const trimmed = text.trimEnd()
  return trimmed.slice(trimmed.lastIndexOf('\n') + 1).trim()
}
