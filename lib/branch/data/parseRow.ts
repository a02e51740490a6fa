import { formatBytes } from '../../formatUnits.js'

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
    const value: unknown = JSON.parse(text)
    const repeated = repeatedKey(text)
    return repeated === undefined
      ? { value, problem: undefined }
      : unusable(`an object of the row has the key ${JSON.stringify(repeated.slice(0, 60))} twice`)
  } catch {
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

/**
 * A key that an object of a JSON text has more than once, or undefined. JSON.parse takes the last one and drops the others:
 * which of them was meant nobody knows.
 */
export function repeatedKey(text: string): string | undefined {
  /** Of each object that is open its keys; of a list nothing. */
  const open: (Set<string> | undefined)[] = []
  let isKey = false
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '{') open.push(new Set())
    else if (c === '[') open.push(undefined)
    else if (c === '}' || c === ']') open.pop()
    if (c === '{' || c === ',') isKey = open.at(-1) !== undefined
    else if (c === '[') isKey = false
    if (c !== '"') continue
    const end = endOfString(text, i)
    const keys = isKey ? open.at(-1) : undefined
    const key: string = keys && JSON.parse(text.slice(i, end + 1))
    if (keys?.has(key)) return key
    keys?.add(key)
    isKey = false
    i = end
  }
  return undefined
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
