import { expect, test } from 'vitest'
import { configWithDtype } from '../../lib/merge/outputConfig.js'

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
