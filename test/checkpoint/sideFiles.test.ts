import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compareSideFiles, listSideFiles } from '../../lib/checkpoint/sideFiles.js'
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
  symlinkSync('nowhere', join(directory, 'merges.txt'))
  expect(await listSideFiles(directory)).toEqual(['config.json', 'vocab.json'])
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
