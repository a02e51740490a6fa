import { BranchMergeError } from '../errors.js'

/** How the bytes of a text file are read. */
export type TextFormat = 'utf-8' | 'utf-16le' | 'utf-16be'

/** As many bytes of a file's beginning as tell what it is. */
export const headBytes = 4096

/** What files of other kinds begin with, under a name of this kind, and what to do about them. */
const otherKinds: [beginnings: (string | RegExp)[], kind: string, cure: string][] = [
  [['\x1f\x8b'], 'compressed with gzip', 'Give it a name that ends in .gz, or unpack it with gunzip'],
  [['\x28\xb5\x2f\xfd'], 'compressed with Zstandard', 'Unpack it with zstd -d'],
  [['\xfd7zXZ\0'], 'compressed with xz', 'Unpack it with unxz'],
  [['BZh'], 'compressed with bzip2', 'Unpack it with bunzip2'],
  [['PK\x03\x04'], 'a zip archive', 'Unpack it with unzip'],
  [['PAR1'], 'a Parquet file', 'Give it a name that ends in .parquet'],
  [['version https://git-lfs'], 'a pointer of Git LFS and not the file itself', 'Fetch it with git lfs pull'],
  [[/^\s*<(!doctype|html)/i], 'a page in HTML, as servers send instead of a file', 'Download it again'],
  [['\xff\xfe\0\0', '\0\0\xfe\xff'], 'UTF-32', 'Convert it with iconv -f UTF-32 -t UTF-8'],
]

/** What a file is that begins so, when it is no text. */
export function otherKind(head: Buffer): { kind: string; cure: string } | undefined {
  const beginning = head.toString('latin1')
  const fits = (pattern: string | RegExp) =>
    typeof pattern === 'string' ? beginning.startsWith(pattern) : pattern.test(beginning)
  const found = otherKinds.find(([beginnings]) => beginnings.some(fits))
  return found && { kind: found[1], cure: found[2] }
}

/**
 * How a text file is encoded by its beginning: UTF-16 with a byte order mark is told apart, all else is taken for UTF-8.
 *
 * @param head - its first bytes, headBytes where it has so many
 * @throws ERR_DATA for files of other kinds and for UTF-16 without a byte order mark
 */
export function textFormat(head: Buffer, path: string): TextFormat {
  const other = otherKind(head)
  if (other) throw new BranchMergeError('ERR_DATA', `Expected JSON at ${path} but it is ${other.kind}. ${other.cure}.`)
  const beginning = head.toString('latin1')
  if (beginning.startsWith('\xff\xfe')) return 'utf-16le'
  if (beginning.startsWith('\xfe\xff')) return 'utf-16be'
  // JSON begins with ASCII, of which every second byte is zero in UTF-16.
  const zeros = [...head.subarray(0, 8)].map((byte) => (byte === 0 ? '0' : 'x')).join('')
  const order = zeros === 'x0x0x0x0' ? 'LE' : zeros === '0x0x0x0x' ? 'BE' : undefined
  if (order === undefined) return 'utf-8'
  throw new BranchMergeError(
    'ERR_DATA',
    `Expected UTF-8 at ${path} but it is UTF-16 without a byte order mark. Convert it with iconv -f UTF-16${order} -t UTF-8.`,
  )
}
