/** Where the value of a member stands in the bytes of a JSON object. */
export interface Span {
  begin: number
  end: number
}

const [quote, backslash, comma, colon, openObject, closeObject, open, close] = [
  0x22, 0x5c, 0x2c, 0x3a, 0x7b, 0x7d, 0x5b, 0x5d,
]

/**
 * The members of a JSON object by the positions of their values, none of which is read: a text of many megabytes is passed over, and
 * never becomes a string. Of a key that stands twice the last counts, as in Python. Undefined where it is no object; values are
 * checked when they are read.
 */
export function jsonMembers(bytes: Buffer): ReadonlyMap<string, Span> | undefined {
  const members = new Map<string, Span>()
  let position = skipSpace(bytes, 0)
  if (bytes[position] !== openObject) return undefined
  do {
    position = skipSpace(bytes, position + 1)
    if (members.size === 0 && bytes[position] === closeObject) break
    const member = memberAt(bytes, position)
    if (!member) return undefined
    members.set(member.key, member.value)
    position = skipSpace(bytes, member.value.end)
  } while (bytes[position] === comma)
  return bytes[position] === closeObject && skipSpace(bytes, position + 1) === bytes.length ? members : undefined
}

function memberAt(bytes: Buffer, position: number): { key: string; value: Span } | undefined {
  const keyEnd = bytes[position] === quote ? endOfString(bytes, position) : undefined
  if (keyEnd === undefined) return undefined
  const key = parse(bytes.subarray(position, keyEnd))
  const mark = skipSpace(bytes, keyEnd)
  if (typeof key !== 'string' || bytes[mark] !== colon) return undefined
  const begin = skipSpace(bytes, mark + 1)
  const end = endOfValue(bytes, begin)
  return end === undefined ? undefined : { key, value: { begin, end } }
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

function skipSpace(bytes: Buffer, from: number): number {
  let position = from
  while (bytes[position] === 0x20 || bytes[position] === 0x09 || bytes[position] === 0x0d || bytes[position] === 0x0a) {
    position++
  }
  return position
}

/** After the closing quote of the string that begins here. */
function endOfString(bytes: Buffer, begin: number): number | undefined {
  for (let end = bytes.indexOf(quote, begin + 1); end >= 0; end = bytes.indexOf(quote, end + 1)) {
    let escapes = 0
    while (bytes[end - 1 - escapes] === backslash) escapes++
    if (escapes % 2 === 0) return end + 1
  }
  return undefined
}

function endOfValue(bytes: Buffer, begin: number): number | undefined {
  if (bytes[begin] === quote) return endOfString(bytes, begin)
  let depth = 0
  let position = begin
  while (position < bytes.length) {
    const byte = bytes[position] as number
    if (byte === quote) {
      const end = endOfString(bytes, position)
      if (end === undefined) return undefined
      position = end
      continue
    }
    if (depth === 0 && (byte === comma || byte === closeObject || byte === close)) return position
    if (byte === openObject || byte === open) depth++
    if (byte === closeObject || byte === close) depth--
    position++
  }
  return undefined
}
