import { expect, test } from 'vitest'
import { configWithDtype, configWithoutQuantisation, configWithTies } from '../../lib/checkpoint/outputConfig.js'

const convert = (text: string) => configWithDtype({ text }, 'float32')

test('only the dtype changes, every other byte stays', () => {
  const text = '{\n    "rope_theta": 1000000.0,\r\n  "torch_dtype" : "bfloat16", "note": "\\"dtype\\": \\"x\\""\n}'
  expect(convert(text)).toBe(text.replace('bfloat16', 'float32'))
})

test('nested models and both spellings are covered', () => {
  const text = '{"dtype": null, "text_config": {"torch_dtype": "float16", "my_dtype": "int8"}}'
  expect(convert(text)).toBe('{"dtype": "float32", "text_config": {"torch_dtype": "float32", "my_dtype": "int8"}}')
})

test('a configuration without one gets it', () => {
  expect(JSON.parse(convert('{"model_type": "qwen2"}'))).toEqual({ torch_dtype: 'float32', model_type: 'qwen2' })
  expect(JSON.parse(convert('{ }'))).toEqual({ torch_dtype: 'float32' })
})

test.each([
  ['the last', '{\n  "a": 1.0,\n  "quantization_config": {"x": [1, "}"]}\n}', '{\n  "a": 1.0\n}'],
  ['the first', '{"quantization_config": {}, "a": Infinity}', '{"a": Infinity}'],
  ['the only one', '{"compression_config": null}', '{}'],
  [
    'one between others',
    '{\n  "a": -Infinity,\n  "quantization_config": 1,\n  "b": 2\n}',
    '{\n  "a": -Infinity,\n  "b": 2\n}',
  ],
  [
    'that of the text model',
    '{"text_config": {"a": NaN, "quantization_config": {}}, "b": 1}',
    '{"text_config": {"a": NaN}, "b": 1}',
  ],
  ['none', '{"note": "quantization_config"}', '{"note": "quantization_config"}'],
])('what is said of quantisation goes, every other byte stays: %s', (_, text, expected) => {
  expect(configWithoutQuantisation({ text })).toBe(expected)
})

test('the tie of the head is set where it stands, and put in where it does not', () => {
  expect(configWithTies({ text: '{"a": NaN, "tie_word_embeddings" : true}' }, false)).toBe(
    '{"a": NaN, "tie_word_embeddings" : false}',
  )
  expect(configWithTies({ text: '{\n  "rope_theta": 1000000.0\n}' }, false)).toBe(
    '{\n  "tie_word_embeddings": false,\n  "rope_theta": 1000000.0\n}',
  )
  expect(configWithTies({ text: '{}' }, true)).toBe('{"tie_word_embeddings": true}')
  expect(configWithTies({ text: '{"text_config": {"x": 1}}' }, true)).toBe(
    '{"tie_word_embeddings": true,"text_config": {"tie_word_embeddings": true,"x": 1}}',
  )
})
