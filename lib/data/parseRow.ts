import { formatBytes } from '../text/formatUnits.js'
import { JsonProblem, parseJson } from './parseJson.js'

/** A row's value, or why there is none. Reasons are few: reports count rows by them. */
export type ParsedRow = { value: unknown; problem: undefined } | { value: undefined; problem: string }

/** The longest conversations have a few megabytes. A longer row is none: a file without line breaks, or a broken quote. */
export const maxRowBytes = 64 * 2 ** 20

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Reads the text of a row; undefined stands for one of more than maxRowBytes. */
export function parseRow(bytes: Buffer | undefined): ParsedRow {
  if (!bytes) return unusable(`the row has more than ${formatBytes(maxRowBytes)}`)
  let text: string
  try {
    // Files that were joined have the byte order mark of each in the middle.
    text = withoutByteOrderMarks(utf8.decode(bytes))
  } catch {
    return unusable(notUtf8(bytes))
  }
  try {
    const value = parseJson(text)
    // The order of columns does not matter, that of a tool's arguments does.
    return { value: value instanceof Map ? Object.fromEntries(value) : value, problem: undefined }
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error
    if (error.repeatedKey !== undefined) {
      return unusable(`an object of the row has the key ${JSON.stringify(error.repeatedKey.slice(0, 60))} twice`)
    }
    return unusable(notJson(text))
  }
}

function withoutByteOrderMarks(text: string): string {
  if (text[0] !== '\ufeff' && !text.endsWith('\ufeff') && !text.endsWith('\ufeff\r')) return text
  // Beside JSON's white space, trim takes characters that JSON does not allow there: it is for such rows alone.
  return text.trim()
}

const unusable = (problem: string): ParsedRow => ({ value: undefined, problem })

/** In UTF-8 no byte above 127 stands alone; in Latin-1 texts of Western languages most do. */
function notUtf8(bytes: Buffer): string {
  let [alone, all] = [0, 0]
  for (let i = 0; i < bytes.length; i++) {
    if ((bytes[i] as number) < 128) continue
    all++
    if (!((bytes[i - 1] ?? 0) >= 128 || (bytes[i + 1] ?? 0) >= 128)) alone++
  }
  if (alone * 2 < all) return 'the row is not UTF-8: convert the file, with iconv -f ENCODING -t UTF-8'
  return 'the row is not UTF-8, it looks like Latin-1: convert the file, with iconv -f WINDOWS-1252 -t UTF-8'
}

function notJson(text: string): string {
  if (text.includes('\0')) return 'the row is no JSON: it holds NUL bytes'
  if (isUnfinished(text)) {
    return 'the row is no JSON: an object or list that goes on in the next line. Write each row in one line, as jq -c . does'
  }
  if (/^\s*\{\s*'/.test(text)) return 'the row is no JSON: texts stand in " there, not in \' as Python prints them'
  const end = text.trimEnd()
  if (end.endsWith('},') || end.endsWith('],')) return 'the row is no JSON: a comma stands behind it'
  return 'the row is no JSON'
}

/** Whether brackets that the text opens are still open at its end, and no text is. */
function isUnfinished(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '"') {
      i = endOfString(text, i)
      if (i < 0) return false
    } else if (c === '{' || c === '[') depth++
    else if (c === '}' || c === ']') depth--
  }
  return depth > 0
}

/** Where the string ends whose opening quote is at `begin`; -1 where it does not. */
function endOfString(text: string, begin: number): number {
  for (let end = text.indexOf('"', begin + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0
    while (text[end - 1 - escapes] === '\\') escapes++
    if (escapes % 2 === 0) return end
  }
  return -1
}
