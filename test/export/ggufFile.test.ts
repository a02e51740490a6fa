import { expect, test } from 'vitest'
import { type GgufMetadata, layOut } from '../../lib/export/gguf/ggufFile.js'
import { readGgufHead } from './readGguf.js'

// A head in one buffer that doubles lost what was written at the moment of doubling. Every kind of value comes to lie across
// every power of two.
test('heads of every size around the powers of two read back as they were written', () => {
  for (let power = 13; power <= 22; power++) {
    for (let shift = 0; shift < 64; shift += 5) {
      const metadata: GgufMetadata = new Map([
        ['filler', { type: 'string', value: 'x'.repeat(2 ** power - 64 - shift) }],
        ['uint', { type: 'uint32', value: 4000000000 }],
        ['float', { type: 'float32', value: -0.5 }],
        ['bool', { type: 'bool', value: true }],
        ['ids', { type: 'int32s', value: [1, -2, 2147483647] }],
        ['texts', { type: 'strings', value: ['ä', '', 'Ġ你好'] }],
      ])
      const tensors = [
        { name: 'a.weight', dtype: 'F32' as const, shape: [3, 5] },
        { name: 'b.weight', dtype: 'BF16' as const, shape: [2, 3, 4] },
      ]
      const { head, bytes } = layOut(metadata, tensors)
      expect(readGgufHead(head)).toEqual({
        metadata: new Map([...metadata].map(([name, { value }]) => [name, value])),
        tensors: [
          { name: 'a.weight', shape: [5, 3], type: 0, offset: 0 },
          { name: 'b.weight', shape: [4, 3, 2], type: 30, offset: 64 },
        ],
      })
      expect([head.length % 32, bytes]).toEqual([0, head.length + 64 + 64])
    }
  }
})
