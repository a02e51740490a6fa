import { expect, test } from 'vitest'
import { checkEngineSpec, parseEngineSpec } from '../../../lib/engines/open/engineSpec.js'
import { commandOf } from '../../../lib/engines/open/serve.js'

test.for<[text: string, spec: object]>([
  ['experts/math', { path: 'experts/math' }],
  ['./a,b', { path: './a,b' }],
  ['http://localhost:8000/v1', { urls: ['http://localhost:8000/v1'] }],
  ['http://localhost:8000/v1#org/name', { urls: ['http://localhost:8000/v1'], model: 'org/name' }],
  ['https://a/v1,https://b/v1#served', { urls: ['https://a/v1', 'https://b/v1'], model: 'served' }],
  ['https://a/v1#served,https://b/v1#served', { urls: ['https://a/v1', 'https://b/v1'], model: 'served' }],
  ['http://a/v1#with,comma', { urls: ['http://a/v1'], model: 'with,comma' }],
  ['http://a/v1#with%20space', { urls: ['http://a/v1'], model: 'with space' }],
])('the command line names an engine: %s', ([text, spec]) => {
  expect(parseEngineSpec(text)).toEqual(spec)
})

test.for(['', '~/model', 'http://', 'http://a/v1#', 'http://a/v1#one,http://b/v1#two', 'http://user:secret@'])(
  'the command line is refused: %j',
  (text) => {
    expect(() => parseEngineSpec(text)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
    expect(() => parseEngineSpec(text)).not.toThrow(/secret/)
  },
)

test.for<[spec: unknown, words: RegExp]>([
  [undefined, /an object/],
  [{}, /either path or urls/],
  [{ path: 'a', urls: ['http://a/v1'] }, /either path or urls/],
  [{ path: 'a', ulrs: ['http://a/v1'] }, /ulrs/],
  [{ path: 'a', model: 'b' }, /model/],
  [{ urls: [] }, /one URL or more/],
  [{ urls: ['ftp://a'] }, /a URL such as/],
  [{ urls: ['http://a/v1'], gpuLayers: 1 }, /gpuLayers/],
  [{ urls: ['http://a/v1'], concurrency: 0 }, /concurrency/],
  [{ urls: ['http://a/v1'], attempts: 0 }, /attempts/],
  [{ urls: ['http://a/v1'], timeouts: { idel: 1 } }, /expected one of connect/],
  [{ urls: ['http://a/v1'], timeouts: { idle: -1 } }, /timeouts\.idle/],
  [{ urls: ['http://a/v1'], api: 'responses' }, /chat, completions/],
  [{ urls: ['http://a/v1'], apiKey: 'a', apiKeyVariable: 'B' }, /both/],
  [{ urls: ['http://a/v1'], headers: { 'a b': 'c' } }, /headers/],
  [{ urls: ['http://a/v1'], headers: { a: 'c\r\nd: e' } }, /headers/],
  [{ path: 'a', serve: 'vllm serve {model}' }, /\{port\}/],
  [{ path: 'a', serve: 'vllm serve --port {port}' }, /\{model\}/],
  [{ path: 'a', contextLength: 0 }, /contextLength/],
])('%j is refused', ([spec, words]) => {
  expect(() => checkEngineSpec(spec)).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: expect.stringMatching(words) }),
  )
})

test('a key that cannot be sent is in no message', () => {
  expect(() => checkEngineSpec({ urls: ['http://a/v1'], apiKey: 'sk-secret\n' })).toThrow(
    expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', message: expect.not.stringContaining('sk-secret') }),
  )
})

test.for<[command: string, file: string, args: string[], env: object]>([
  ['vllm serve {model} --port {port}', 'vllm', ['serve', '/my models/a', '--port', '80'], {}],
  [
    'CUDA_VISIBLE_DEVICES=0,1 A= run "{model}" --url=http://x:{port}/',
    'run',
    ['/my models/a', '--url=http://x:80/'],
    { CUDA_VISIBLE_DEVICES: '0,1', A: '' },
  ],
  [
    'run \'a b\' "c \\"d\\"" e\\ f g\'h\'"i" \'\' {model} {port}',
    'run',
    ['a b', 'c "d"', 'e f', 'ghi', '', '/my models/a', '80'],
    {},
  ],
  ['run $HOME ; {model} {port}', 'run', ['$HOME', ';', '/my models/a', '80'], {}],
])('the command of a server: %s', ([command, file, args, env]) => {
  expect(commandOf(command, '/my models/a', 80)).toEqual({ file, args, env })
})

test.for(['run "{model} {port}', "run '{model} {port}", 'A=1 ', ''])('no command of a server: %j', (command) => {
  expect(() => commandOf(command, 'm', 80)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
})
