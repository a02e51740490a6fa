/** The corpus of files that must be refused, each with the code of the refusal: the one source for all tests. */

import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileOf, float32, lengthBytes, safetensors, writeFiles } from './writeSafetensors.js'

/** @typedef {import('../../lib/errors.js').ErrorCode} ErrorCode */

/**
 * `reader` is what finds the fault: the header of one file (`write` resolves to the file), the index alone, or the
 * checkpoint as a whole (`write` resolves to the directory).
 *
 * @typedef {{ name: string, code: ErrorCode, reader: 'header' | 'index' | 'checkpoint',
 *   write: (directory: string) => Promise<string> }} BadFile
 */

/** @param {string} name @param {ErrorCode} code @param {() => Uint8Array} bytes @returns {BadFile} */
function file(name, code, bytes) {
  const write = async (/** @type {string} */ directory) => {
    const path = join(directory, 'model.safetensors')
    await writeFile(path, bytes())
    return path
  }
  return { name, code, reader: 'header', write }
}

/**
 * A file of `bytes` that is `size` long, of which the disk holds just the beginning.
 *
 * @param {string} name @param {ErrorCode} code @param {Uint8Array} bytes @param {number} size @returns {BadFile}
 */
function sparse(name, code, bytes, size) {
  const plain = file(name, code, () => bytes)
  const write = async (/** @type {string} */ directory) => {
    const path = await plain.write(directory)
    await truncate(path, size)
    return path
  }
  return { ...plain, write }
}

/** A header as it stands. @param {string} name @param {ErrorCode} code @param {string | Uint8Array} text @param {number} [dataBytes] */
const header = (name, code, text, dataBytes) => file(name, code, () => fileOf(text, dataBytes))

/** One tensor w. @param {string} name @param {ErrorCode} code @param {string} entry @param {number} [dataBytes] */
const entry = (name, code, entry, dataBytes) => header(name, code, `{"w":${entry}}`, dataBytes)

/** @param {string} dtype @param {string} shape @param {string} offsets */
const tensor = (dtype, shape, offsets) => `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`

/** One scalar whose name stands in the text as given, quotes included. @param {string} name @param {ErrorCode} code @param {string} quoted */
const named = (name, code, quoted) => header(name, code, `{${quoted}:${tensor('F32', '[]', '[0,4]')}}`, 4)

/** Two tensors of 4 bytes. @param {string} name @param {string} first @param {string} second @param {number} dataBytes */
const ranges = (name, first, second, dataBytes) =>
  header(
    name,
    'ERR_TENSOR_OFFSETS',
    `{"a":${tensor('U8', '[4]', first)},"b":${tensor('U8', '[4]', second)}}`,
    dataBytes,
  )

/** @param {number} count */
const tensorsWithoutElements = (count) =>
  `{${Array.from({ length: count }, (_, i) => `"${i}":${tensor('F32', '[0]', '[0,0]')}`).join(',')}}`

/** @type {BadFile[]} */
const firstBytes = [
  file('empty file', 'ERR_HEADER_TOO_SMALL', () => Buffer.alloc(0)),
  file('7 bytes', 'ERR_HEADER_TOO_SMALL', () => Buffer.alloc(7)),
  file('header length 2^63', 'ERR_HEADER_TOO_LARGE', () => Buffer.concat([lengthBytes(2n ** 63n), Buffer.from('{}')])),
  file('header length 0xffffff000000003c', 'ERR_HEADER_TOO_LARGE', () =>
    Buffer.concat([lengthBytes(0xffffff000000003cn), Buffer.alloc(60, ' ')]),
  ),
  file('header length of the whole file', 'ERR_HEADER_LENGTH', () =>
    Buffer.concat([lengthBytes(10), Buffer.from('{}')]),
  ),
  sparse('header length 1e8+1 in a sparse file', 'ERR_HEADER_TOO_LARGE', lengthBytes(100_000_001), 100_000_009),
  sparse('header of 1e8 NULs in a sparse file', 'ERR_HEADER_JSON', lengthBytes(100_000_000), 100_000_008),
  file('header length 0', 'ERR_HEADER_JSON', () => lengthBytes(0)),
]

/** @type {BadFile[]} */
const texts = [
  header('header that is not UTF-8', 'ERR_HEADER_UTF8', Buffer.from('{"\xff":1}', 'latin1')),
  header('header with an overlong UTF-8 form', 'ERR_HEADER_UTF8', Buffer.from('{"\xc0\xaf":1}', 'latin1')),
  header('header {', 'ERR_HEADER_JSON', '{'),
  header('header []', 'ERR_HEADER_JSON', '[]'),
  header('header null', 'ERR_HEADER_JSON', 'null'),
  header('header padded with NULs', 'ERR_HEADER_JSON', '{}\0\0\0\0\0\0'),
  header('header after a byte order mark', 'ERR_HEADER_JSON', '\ufeff{}'),
  named('name with a lone surrogate', 'ERR_HEADER_JSON', '"\\ud800"'),
  header('header 129 deep', 'ERR_HEADER_JSON', `{"w":${'['.repeat(128)}${']'.repeat(128)}}`),
  header('header 1e5 deep', 'ERR_HEADER_JSON', `{"w":${'['.repeat(1e5)}${']'.repeat(1e5)}}`),
  header('header and a ZIP signature', 'ERR_HEADER_JSON', '{}PK\x03\x04'),
  file('1e6 tensors without elements', 'ERR_HEADER_TENSOR_COUNT', () => fileOf(tensorsWithoutElements(1e6))),
]

/** @type {BadFile[]} */
const numbers = [
  entry('offset -1', 'ERR_TENSOR_ENTRY', tensor('U8', '[1]', '[-1,1]'), 1),
  entry('offset 1.0', 'ERR_TENSOR_ENTRY', tensor('U8', '[1]', '[0,1.0]'), 1),
  entry('offset 1e3', 'ERR_TENSOR_ENTRY', tensor('U8', '[1000]', '[0,1e3]'), 1000),
  entry('offset -0', 'ERR_TENSOR_ENTRY', tensor('U8', '[1]', '[-0,1]'), 1),
  entry('offset in quotes', 'ERR_TENSOR_ENTRY', tensor('U8', '[4]', '["0","4"]'), 4),
  entry('offset 2^53+1', 'ERR_TENSOR_OVERFLOW', tensor('U8', '[1]', '[0,9007199254740993]'), 1),
  entry('offset of the largest u64', 'ERR_TENSOR_OVERFLOW', tensor('U8', '[1]', '[0,18446744073709551615]'), 1),
  entry('offset past the largest u64', 'ERR_TENSOR_OVERFLOW', tensor('U8', '[1]', '[0,18446744073709551616]'), 1),
  entry('dimension -1', 'ERR_TENSOR_ENTRY', tensor('U8', '[-1]', '[0,1]'), 1),
  entry('dimension 1.5', 'ERR_TENSOR_ENTRY', tensor('U8', '[1.5]', '[0,1]'), 1),
  entry('product [2,2^64-2]', 'ERR_TENSOR_OVERFLOW', tensor('U8', '[2,18446744073709551614]', '[0,4]'), 4),
  entry('product [2,2^63-1]', 'ERR_TENSOR_OVERFLOW', tensor('U8', '[2,9223372036854775807]', '[0,4]'), 4),
  entry('product [2^32,2^32] that wraps to 0', 'ERR_TENSOR_OVERFLOW', tensor('U8', '[4294967296,4294967296]', '[0,0]')),
  entry('product [2^40,2^40,0]', 'ERR_TENSOR_OVERFLOW', tensor('F32', '[1099511627776,1099511627776,0]', '[0,0]')),
  entry('bits that wrap', 'ERR_TENSOR_OVERFLOW', tensor('F64', '[67108864,4294967296]', '[0,0]')),
  entry('dimension 2^63, negative as int64', 'ERR_TENSOR_OVERFLOW', tensor('U8', '[9223372036854775808]', '[0,4]'), 4),
  entry('dimension 9.3e18, negative as int64', 'ERR_TENSOR_ENTRY', tensor('U8', '[9.3e18]', '[0,4]'), 4),
]

/** @type {BadFile[]} */
const placement = [
  entry('end before begin', 'ERR_TENSOR_OFFSETS', tensor('U8', '[1]', '[1,0]'), 1),
  entry('begin past the end of the file', 'ERR_TENSOR_OFFSETS', tensor('U8', '[4]', '[100,104]'), 4),
  ranges('hole', '[0,4]', '[5,9]', 9),
  ranges('overlap', '[0,4]', '[3,7]', 7),
  ranges('same range twice', '[0,4]', '[0,4]', 4),
  entry('trailing byte', 'ERR_FILE_LENGTH', tensor('U8', '[4]', '[0,4]'), 5),
  entry('2 bytes missing', 'ERR_FILE_LENGTH', tensor('U8', '[4]', '[0,4]'), 2),
  sparse(
    'trailing terabyte in a sparse file',
    'ERR_FILE_LENGTH',
    fileOf(`{"w":${tensor('U8', '[4]', '[0,4]')}}`, 4),
    2 ** 40,
  ),
  entry('range shorter than the shape', 'ERR_TENSOR_SIZE', tensor('F32', '[2]', '[0,4]'), 4),
  entry('range longer than the shape', 'ERR_TENSOR_SIZE', tensor('F32', '[1]', '[0,8]'), 8),
  entry('odd number of F4 elements', 'ERR_TENSOR_SIZE', tensor('F4', '[3]', '[0,2]'), 2),
]

/** @type {BadFile[]} */
const entries = [
  entry('unknown dtype with a range past the file', 'ERR_TENSOR_DTYPE', tensor('F33', '[1]', '[0,4000000000]'), 4),
  entry('lower-case dtype', 'ERR_TENSOR_DTYPE', tensor('f32', '[1]', '[0,4]'), 4),
  entry('entry as an array', 'ERR_TENSOR_ENTRY', '["F32",[1],[0,4]]', 4),
  entry('entry without a shape', 'ERR_TENSOR_ENTRY', '{"dtype":"F32","data_offsets":[0,4]}', 4),
  entry(
    'entry with another key',
    'ERR_TENSOR_ENTRY',
    '{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}',
    4,
  ),
  entry('65 dimensions', 'ERR_TENSOR_ENTRY', tensor('U8', `[${Array(65).fill(1)}]`, '[0,1]'), 1),
  header(
    'tensor twice',
    'ERR_HEADER_DUPLICATE',
    `{"w":${tensor('F32', '[1]', '[0,4]')},"w":${tensor('F32', '[1]', '[0,4]')}}`,
    4,
  ),
  header(
    'tensor twice, one name escaped',
    'ERR_HEADER_DUPLICATE',
    `{"w":${tensor('F32', '[1]', '[0,4]')},"\\u0077":${tensor('F32', '[1]', '[4,8]')}}`,
    8,
  ),
  entry('dtype twice', 'ERR_HEADER_DUPLICATE', '{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}', 4),
  header('__metadata__ twice', 'ERR_HEADER_DUPLICATE', '{"__metadata__":{},"__metadata__":{}}'),
  header('__metadata__ with a number', 'ERR_HEADER_METADATA', '{"__metadata__":{"step":1}}'),
  header('__metadata__ with an object', 'ERR_HEADER_METADATA', '{"__metadata__":{"a":{"b":"c"}}}'),
  header('__metadata__ as an array', 'ERR_HEADER_METADATA', '{"__metadata__":[]}'),
  named('name of 65 000 bytes', 'ERR_TENSOR_NAME', `"${'x'.repeat(65_000)}"`),
  named('empty name', 'ERR_TENSOR_NAME', '""'),
  named('name with NUL', 'ERR_TENSOR_NAME', '"a\\u0000b"'),
  named('name with a terminal escape', 'ERR_TENSOR_NAME', '"\\u001b[2Jw"'),
  named('name with ../', 'ERR_TENSOR_NAME', '"../w"'),
  named('absolute name', 'ERR_TENSOR_NAME', '"/etc/passwd"'),
]

const shard = safetensors({ w: float32([1, 2]) })
const shardName = 'model-00001-of-00001.safetensors'
const indexName = 'model.safetensors.index.json'

/** An index beside one shard that holds w. @param {string} name @param {ErrorCode} code @param {string | Uint8Array} text @returns {BadFile} */
function index(name, code, text) {
  const write = (/** @type {string} */ directory) => writeFiles(directory, { [indexName]: text, [shardName]: shard })
  return { name, code, reader: 'index', write }
}

/** @param {string} name @param {string} path */
const shardAt = (name, path) =>
  index(name, 'ERR_INDEX_SHARD_NAME', JSON.stringify({ metadata: {}, weight_map: { w: path } }))

/** Faults between an index and its shards. @param {string} name @param {ErrorCode} code @param {Record<string, string>} weightMap @param {Record<string, Uint8Array>} shards @returns {BadFile} */
function checkpoint(name, code, weightMap, shards) {
  const text = JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap })
  const write = (/** @type {string} */ directory) => writeFiles(directory, { [indexName]: text, ...shards })
  return { name, code, reader: 'checkpoint', write }
}

/** @type {BadFile[]} */
const indexes = [
  index('index {', 'ERR_INDEX_JSON', '{'),
  index('index []', 'ERR_INDEX_JSON', '[]'),
  index('index that is not UTF-8', 'ERR_INDEX_JSON', Buffer.from('{"weight_map":{"\xff":"x"}}', 'latin1')),
  index('index after a byte order mark', 'ERR_INDEX_JSON', '\ufeff{"weight_map":{}}'),
  index('index without weight_map', 'ERR_INDEX_JSON', '{"metadata":{"total_size":8}}'),
  index('weight_map as an array', 'ERR_INDEX_JSON', `{"weight_map":["${shardName}"]}`),
  index('weight_map with a number', 'ERR_INDEX_JSON', '{"weight_map":{"w":1}}'),
  index('weight_map with a tensor twice', 'ERR_INDEX_JSON', `{"weight_map":{"w":"${shardName}","w":"${shardName}"}}`),
  index('weight_map with NUL in a name', 'ERR_TENSOR_NAME', `{"weight_map":{"w\\u0000":"${shardName}"}}`),
  shardAt('shard in the parent folder', '../model.safetensors'),
  shardAt('shard in the parent folder, with a backslash', '..\\model.safetensors'),
  shardAt('shard at an absolute path', '/etc/passwd'),
  shardAt('shard in a folder', 'shards/model.safetensors'),
  shardAt('shard called ..', '..'),
  shardAt('shard without a name', ''),
  shardAt('shard with NUL in its name', `${shardName}\0.txt`),
  checkpoint(
    'shard missing',
    'ERR_INDEX_SHARD_MISSING',
    { w: shardName, v: 'model-00002-of-00002.safetensors' },
    { [shardName]: shard },
  ),
  checkpoint('shard that is a bad file', 'ERR_FILE_LENGTH', { w: shardName }, { [shardName]: shard.subarray(0, -1) }),
  checkpoint('tensor not in its shard', 'ERR_INDEX_MISMATCH', { w: shardName, v: shardName }, { [shardName]: shard }),
  checkpoint(
    'tensor not in the index',
    'ERR_INDEX_MISMATCH',
    { w: shardName },
    {
      [shardName]: safetensors({ w: float32([1, 2]), v: float32([3]) }),
    },
  ),
]

/** @type {BadFile[]} */
export const badFiles = [...firstBytes, ...texts, ...numbers, ...placement, ...entries, ...indexes]
