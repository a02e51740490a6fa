/** Files that look odd but keep to the format: the reader must take them. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileOf, float32, safetensors, writeFiles } from './writeSafetensors.js'

/**
 * `tensors` are the names in file order. `write` resolves to the file, or for a checkpoint to its directory.
 *
 * @typedef {{ name: string, reader: 'header' | 'checkpoint', tensors: string[],
 *   write: (directory: string) => Promise<string> }} OddFile
 */

/** @param {string} name @param {string[]} tensors @param {Uint8Array} bytes @returns {OddFile} */
function file(name, tensors, bytes) {
  const write = async (/** @type {string} */ directory) => {
    const path = join(directory, 'model.safetensors')
    await writeFile(path, bytes)
    return path
  }
  return { name, reader: 'header', tensors, write }
}

/** @param {string} dtype @param {number[]} shape @param {[number, number]} offsets */
const entry = (dtype, shape, offsets) => ({ dtype, shape, data_offsets: offsets })
/** @param {Record<string, object>} entries @param {number} dataBytes */
const ofEntries = (entries, dataBytes) => fileOf(JSON.stringify(entries), dataBytes)

const ordinaryNames =
  '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},' +
  '"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},' +
  '"toString":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}'

/** @type {OddFile[]} */
export const oddFiles = [
  file('no tensors', [], fileOf('{}')),
  file('no tensors, padded', [], fileOf('{}      ')),
  file('__metadata__ null', [], fileOf('{"__metadata__":null}')),
  file('__metadata__ only', [], fileOf('{"__metadata__":{"format":"pt"}}')),
  file(
    'white space around the header',
    ['w'],
    fileOf(' \t\r\n{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}\n  ', 2),
  ),
  file('rank 0', ['w'], ofEntries({ w: entry('F32', [], [0, 4]) }, 4)),
  file(
    'tensors without elements',
    ['first', 'middle', 'w', 'last'],
    ofEntries(
      {
        last: entry('F32', [0, 7], [4, 4]),
        w: entry('F32', [1], [0, 4]),
        first: entry('I64', [2, 0], [0, 0]),
        middle: entry('U8', [0], [0, 0]),
      },
      4,
    ),
  ),
  file('[0, 2^40, 2^40]', ['w'], ofEntries({ w: entry('F32', [0, 2 ** 40, 2 ** 40], [0, 0]) }, 0)),
  file(
    'any order and odd alignment',
    ['byte', 'double', 'half'],
    ofEntries(
      { half: entry('F16', [3], [17, 23]), byte: entry('BOOL', [1], [0, 1]), double: entry('F64', [2], [1, 17]) },
      23,
    ),
  ),
  file(
    'sub-byte dtypes',
    ['f4', 'f6'],
    ofEntries({ f4: entry('F4', [2, 3], [0, 3]), f6: entry('F6_E3M2', [4], [3, 6]) }, 6),
  ),
  file('__proto__ and constructor', ['__proto__', 'constructor', 'toString'], fileOf(ordinaryNames, 3)),
  file(
    'name beyond ASCII, escaped',
    ['模型.é😀'],
    fileOf('{"模型.\\u00e9\\ud83d\\ude00":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
  ),
  file('name of 1024 bytes', ['x'.repeat(1024)], ofEntries({ ['x'.repeat(1024)]: entry('U8', [1], [0, 1]) }, 1)),
  {
    name: 'index with a wrong total_size',
    reader: 'checkpoint',
    tensors: ['w', 'v'],
    write: (directory) =>
      writeFiles(directory, {
        'model.safetensors.index.json': JSON.stringify({
          metadata: { total_size: 999, total_parameters: 3 },
          weight_map: { v: 'model-00002-of-00002.safetensors', w: 'model-00001-of-00002.safetensors' },
        }),
        'model-00001-of-00002.safetensors': safetensors({ w: float32([1, 2]) }),
        'model-00002-of-00002.safetensors': safetensors({ v: float32([3]) }, { format: 'pt' }),
      }),
  },
]
