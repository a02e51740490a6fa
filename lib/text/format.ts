/** 494,032,768 → '494.0 M'. */
export function formatCount(count: number): string {
  if (count < 1e4) return String(count)
  if (count < 1e6) return `${(count / 1e3).toFixed(1)} k`
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} M` : `${(count / 1e9).toFixed(2)} B`
}

/** 1 file, 2 files, 12.5 k files. */
export const formatCountOf = (count: number, noun: string): string =>
  `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`

/** One decimal, but never 0.0 % or 100.0 % for a share that is not. */
export function formatPercent(fraction: number): string {
  if (fraction > 0 && fraction < 0.0005) return '<0.1 %'
  if (fraction < 1 && fraction >= 0.9995) return '>99.9 %'
  return `${(fraction * 100).toFixed(1)} %`
}

export const formatShape = (shape: readonly number[]): string => `[${shape.join(', ')}]`

/** A name out of a file, safe to print: control characters would let it rewrite the terminal. */
export function printable(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)
}

/** Columns padded to their widest cell; those in `rightAligned` to the left of it. */
export function formatTable(rows: readonly (readonly string[])[], rightAligned: readonly number[]): string {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)), [])
  const pad = (cell: string, i: number) =>
    rightAligned.includes(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n')
}
