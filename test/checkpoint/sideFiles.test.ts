import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compareSideFiles, completeSideFiles, listSideFiles } from '../../lib/checkpoint/sideFiles.js'
import { temporaryDirectory } from '../support/temporary.js'

function directoryOf(files: Record<string, string>): string {
  const directory = temporaryDirectory()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return directory
}

const named = (...names: string[]) => directoryOf(Object.fromEntries(names.map((name) => [name, '{}'])))

test('what belongs to a model comes along, its weights and its model card do not', async () => {
  const along = [
    'LICENSE',
    'NOTICE.txt',
    'added_tokens.json',
    'chat_template.jinja',
    'config.json',
    'generation_config.json',
    'license.md',
    'merges.txt',
    'preprocessor_config.json',
    'processor_config.json',
    'qwen.tiktoken',
    'special_tokens_map.json',
    'tekken.json',
    'tokenizer.json',
    'tokenizer.model',
    'tokenizer_config.json',
    'video_preprocessor_config.json',
    'vocab.json',
    'vocab.txt',
  ]
  const behind = [
    'README.md',
    'model.safetensors',
    'model.safetensors.index.json',
    'pytorch_model.bin',
    'tokenizer.bin',
    'tokenizer.json.123-abcd.branchmerge-partial',
    'training_args.bin',
    'trainer_state.json',
    'optimizer.pt',
    'modeling_custom.py',
    '.gitattributes',
    'branchmerge.json',
  ]
  expect(await listSideFiles(named(...along, ...behind))).toEqual(along)
})

test('Python files come along when the configuration names custom code', async () => {
  const python = { 'modeling_x.py': 'import .helper', 'helper.py': '' }
  const config = { 'config.json': '{"auto_map": {"AutoModel": "modeling_x.X"}}' }
  expect(await listSideFiles(directoryOf({ ...python, ...config }))).toEqual([
    'config.json',
    'helper.py',
    'modeling_x.py',
  ])
  const tokenizer = { 'tokenizer_config.json': '{"auto_map": {"AutoTokenizer": ["modeling_x.T", null]}}' }
  expect(await listSideFiles(directoryOf({ ...python, ...tokenizer }))).toContain('helper.py')
  expect(await listSideFiles(directoryOf({ ...python, 'config.json': '{}' }))).toEqual(['config.json'])
})

test('links to files come along, directories do not', async () => {
  const directory = named('config.json')
  mkdirSync(join(directory, 'tokenizer'))
  symlinkSync('config.json', join(directory, 'vocab.json'))
  symlinkSync('config.json/logs', join(directory, 'logs')) // cannot be looked at, and need not be
  expect(await completeSideFiles(directory)).toEqual({
    files: ['config.json', 'vocab.json'],
    others: ['logs', 'tokenizer/'],
    broken: [],
  })
})

test('a link to nothing in the place of a side file is refused, and named in a comparison', async () => {
  const [directory, whole] = [named('config.json'), named('config.json')]
  symlinkSync('nowhere', join(directory, 'merges.txt'))
  symlinkSync('nowhere', join(directory, 'notes.md'))
  await expect(listSideFiles(directory)).rejects.toMatchObject({
    code: 'ERR_FILE_READ',
    message: expect.stringContaining('merges.txt: it is a link to nowhere, which is not there'),
  })
  expect(await compareSideFiles(whole, directory)).toEqual([
    { name: 'merges.txt', difference: 'a broken link in Right' },
  ])
})

test('chat templates and the modules of sentence-transformers come along from their directories', async () => {
  const directory = named('config.json', 'modules.json', 'sentence_bert_config.json', 'tiktoken.model', 'README.md')
  for (const [subdirectory, ...names] of [
    ['additional_chat_templates', 'tool_use.jinja', 'notes.md'],
    ['1_Pooling', 'config.json'],
    ['2_Dense', 'config.json', 'model.safetensors'],
    ['onnx', 'config.json'],
  ] as const) {
    mkdirSync(join(directory, subdirectory))
    for (const name of names) writeFileSync(join(directory, subdirectory, name), '{}')
  }
  expect(await completeSideFiles(directory)).toEqual({
    files: [
      '1_Pooling/config.json',
      '2_Dense/config.json',
      'additional_chat_templates/tool_use.jinja',
      'config.json',
      'modules.json',
      'sentence_bert_config.json',
      'tiktoken.model',
    ],
    others: ['2_Dense/model.safetensors', 'README.md', 'additional_chat_templates/notes.md', 'onnx/'],
    broken: [],
  })
})

test('differences are told by bytes, by name', async () => {
  const left = directoryOf({ 'config.json': '{}', 'tokenizer.json': 'aaa', 'vocab.json': '{"a":1}', 'merges.txt': 'x' })
  const right = directoryOf({ 'config.json': '{}', 'tokenizer.json': 'aab', 'vocab.json': '{"a": 1}', LICENSE: 'x' })
  expect(await compareSideFiles(left, right)).toEqual([
    { name: 'LICENSE', difference: 'only in Right' },
    { name: 'merges.txt', difference: 'only in Left' },
    { name: 'tokenizer.json', difference: 'differs' },
    { name: 'vocab.json', difference: 'differs' },
  ])
  expect(await compareSideFiles(left, left)).toEqual([])
})
