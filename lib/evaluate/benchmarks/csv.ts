import { readFile, stat } from 'node:fs/promises'
import { readFailure } from '../../files/readSmallFile.js'
import { QuestionRow, type QuestionRows } from '../../questions/questionRow.js'
import { formatBytes } from '../../text/formatUnits.js'
import { benchmarkError, benchmarkErrorCode } from './rows.js'

/** Published tables of questions have a few megabytes. */
const maxBytes = 64 * 2 ** 20

/**
 * The records of a CSV text (RFC 4180): commas, records that end with a line break, quoted fields in which a quote stands twice and
 * line breaks belong to the field.
 *
 * @throws ERR_BENCHMARK where a quote is never closed or something follows a closing one; the message has the record's line
 */
export function parseCsv(text: string, path: string): { line: number; fields: string[] }[] {
  const records: { line: number; fields: string[] }[] = []
  const field = /"((?:[^"]|"")*)"|([^",\r\n]*)/y
  const end = /,|\r\n|\n|\r|$/y
  let [fields, line, recordLine]: [string[], number, number] = [[], 1, 1]
  let position = text.startsWith('\ufeff') ? 1 : 0
  while (position < text.length) {
    field.lastIndex = position
    const [whole = '', quoted, plain = ''] = field.exec(text) ?? []
    line += whole.split('\n').length - 1
    end.lastIndex = position + whole.length
    const mark = end.exec(text)?.[0]
    if (mark === undefined || (whole === '' && text[position] === '"')) {
      throw benchmarkError(
        `${path}, line ${recordLine}: expected a quoted field that is closed and followed by a comma`,
      )
    }
    fields.push(quoted?.replaceAll('""', '"') ?? plain)
    position += whole.length + mark.length
    if (mark === ',' && position < text.length) continue
    if (mark === ',') fields.push('')
    // A blank line is no record.
    if (fields.length > 1 || whole !== '') records.push({ line: recordLine, fields })
    if (mark !== ',') line++
    ;[fields, recordLine] = [[], line]
  }
  return records
}

/** The rows of a CSV file whose first record names the columns. Empty fields are null. */
export async function readCsvRows(path: string): Promise<QuestionRows> {
  const [header, ...records] = parseCsv(await readText(path), path)
  if (!header || records.length === 0) throw benchmarkError(`Expected questions in ${path} but it is empty`)
  const names = header.fields.map((name) => name.trim())
  const rows = records.map(({ line, fields }) => {
    const place = `${path}, line ${line}`
    if (fields.length !== names.length) {
      throw benchmarkError(
        `${place}: expected ${names.length} fields, as the first line has, but there are ${fields.length}`,
      )
    }
    return new QuestionRow(
      Object.fromEntries(names.map((name, i) => [name, fields[i] || null])),
      place,
      benchmarkErrorCode,
    )
  })
  return { paths: [path], rows }
}

/** Names of the columns of a CSV file. */
export async function readCsvColumns(path: string): Promise<string[]> {
  return parseCsv(await readText(path), path)[0]?.fields.map((name) => name.trim()) ?? []
}

async function readText(path: string): Promise<string> {
  const { size } = await stat(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  if (size > maxBytes) {
    throw benchmarkError(`Expected at most ${formatBytes(maxBytes)} in ${path} but it has ${formatBytes(size)}`)
  }
  const bytes = await readFile(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw benchmarkError(`Expected UTF-8 in ${path}: convert the file, with iconv -f ENCODING -t UTF-8`)
  }
}
