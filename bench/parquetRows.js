/** Parquet files as the writer of Hugging Face lays them out, a row group at a time. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'

/** @typedef {import('hyparquet').SchemaElement} SchemaElement */

export const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8' }
/** @param {string} name @param {object} type */
export const leaf = (name, type) => /** @type {SchemaElement} */ ({ name, repetition_type: 'OPTIONAL', ...type })
/** @param {string} name @param {SchemaElement[]} element @returns {SchemaElement[]} */
export const list = (name, element) => [
  { name, repetition_type: 'OPTIONAL', converted_type: 'LIST', num_children: 1 },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  ...element,
]

/**
 * @typedef {object} RowsOptions
 * @property {number} [groupRows] as Hugging Face's writer has them by default
 * @property {'SNAPPY' | 'UNCOMPRESSED' | 'ZSTD'} [codec]
 * @property {import('hyparquet-writer').ParquetWriteOptions['compressors']} [compressors]
 */

/**
 * Writes rows a group at a time.
 *
 * @template {object} Row
 * @param {string} path
 * @param {SchemaElement[][]} columns elements of each column's schema
 * @param {Iterable<Row>} rows
 * @param {RowsOptions} [options]
 */
export function writeRows(path, columns, rows, { groupRows = 1000, codec = 'SNAPPY', compressors } = {}) {
  const file = openSync(path, 'w')
  const bytes = new ByteWriter()
  const flush = () => {
    writeSync(file, bytes.getBytes())
    bytes.index = 0
  }
  const schema = [{ name: 'schema', num_children: columns.length }, ...columns.flat()]
  const writer = new ParquetWriter({ writer: bytes, schema, codec, ...(compressors && { compressors }) })
  /** @param {Row[]} group */
  const write = (group) => {
    const columnData = columns.map(([{ name = '' } = {}]) => ({
      name,
      data: group.map((row) => row[/** @type {keyof Row} */ (name)]),
    }))
    writer.write({ columnData, rowGroupSize: groupRows })
    flush()
  }
  /** @type {Row[]} */
  let group = []
  for (const row of rows) {
    group.push(row)
    if (group.length < groupRows) continue
    write(group)
    group = []
  }
  if (group.length > 0) write(group)
  writer.finish()
  flush()
  closeSync(file)
}
