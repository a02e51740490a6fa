import { basename, join, resolve } from 'node:path'
import type { DataSource, MessageTags, SourceColumns } from '../../data/options.js'
import { BranchMergeError } from '../../errors.js'
import { readSmallFile } from '../../files/readSmallFile.js'
import { pathFromFile } from '../../pathFromFile.js'
import { isMapping, nearestName } from '../../validate.js'

/** LLaMA-Factory's own has a few hundred kilobytes. */
const maxInfoBytes = 16 * 2 ** 20

type Mapping = Record<string, unknown>

/** What LLaMA-Factory calls columns and tags, and what they are called here. */
const alpacaColumns: Record<string, keyof SourceColumns> = {
  prompt: 'instruction',
  query: 'input',
  response: 'output',
  history: 'history',
  system: 'system',
  tools: 'tools',
}
const sharegptColumns: Record<string, keyof SourceColumns> = {
  messages: 'conversations',
  system: 'system',
  tools: 'tools',
}
const tags: Record<string, keyof MessageTags> = {
  role_tag: 'role',
  content_tag: 'content',
  user_tag: 'user',
  assistant_tag: 'assistant',
  system_tag: 'system',
  observation_tag: 'observation',
  function_tag: 'function',
}

/** Keys of an entry that say something else than where the rows are and what they look like. */
const ignored = ['subset', 'split', 'folder']

/**
 * The sources that names stand for in the dataset_info.json of a directory.
 *
 * @param problem - told what is wrong with a name or its entry, or that there is no such file
 * @throws ERR_FILE_READ or ERR_RECIPE when the file cannot be read, or has no JSON in it
 */
export async function datasetSources(
  names: readonly string[],
  directory: string,
  problem: (message: string) => void,
): Promise<DataSource[]> {
  const path = join(directory, 'dataset_info.json')
  const info = await readInfo(path)
  if (info === undefined) {
    problem(`Expected LLaMA-Factory's ${path}, which says what the datasets are, but there is none: set dataset_dir`)
    return []
  }
  return names.flatMap((name) => {
    const entry = info[name]
    if (isMapping(entry))
      return sourceOf(name, entry, directory, (message) => problem(`${name} of ${path}: ${message}`)) ?? []
    const near = nearestName(name, Object.keys(info))
    problem(`There is no ${name} in ${path}${near ? `: did you mean ${near}?` : ''}`)
    return []
  })
}

async function readInfo(path: string): Promise<Mapping | undefined> {
  const bytes = await readSmallFile(path, maxInfoBytes, 'ERR_RECIPE')
  if (!bytes) return undefined
  const value = parse(bytes.toString('utf8'), path)
  if (isMapping(value)) return value
  throw new BranchMergeError('ERR_RECIPE', `Expected a JSON object in ${path}`)
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new BranchMergeError('ERR_RECIPE', `Expected JSON in ${path}: ${(cause as Error).message}`, { cause })
  }
}

function sourceOf(
  name: string,
  entry: Mapping,
  directory: string,
  problem: (message: string) => void,
): DataSource | undefined {
  const { file_name, formatting = 'alpaca', columns = {}, tags: given = {}, num_samples, ...rest } = entry
  if (typeof file_name !== 'string') {
    problem('Expected a file_name: a dataset of a hub must be downloaded first')
    return undefined
  }
  if (formatting !== 'alpaca' && formatting !== 'sharegpt') {
    problem(`Expected alpaca or sharegpt for formatting but received ${JSON.stringify(formatting)}`)
    return undefined
  }
  if (rest.ranking === true) problem('The data set ranks answers, which is not supervised fine-tuning')
  for (const key of Object.keys(rest)) {
    if (!ignored.includes(key) && key !== 'ranking') problem(`${key} is not supported`)
  }
  const known = formatting === 'alpaca' ? alpacaColumns : sharegptColumns
  const named = renamed(columns, known, (key) => problem(`The column ${key} is not supported`))
  const tagged = renamed(given, tags, (key) => problem(`The tag ${key} is not supported`))
  const take = typeof num_samples === 'number' ? { take: num_samples } : {}
  return {
    path: resolve(pathFromFile(file_name, directory)),
    name: name || basename(file_name),
    format: formatting,
    ...(Object.keys(named).length > 0 ? { columns: named } : {}),
    ...(Object.keys(tagged).length > 0 ? { tags: tagged } : {}),
    ...take,
  }
}

function renamed(
  value: unknown,
  names: Record<string, string>,
  unknown: (key: string) => void,
): Record<string, string> {
  const entries = isMapping(value) ? Object.entries(value) : []
  return Object.fromEntries(
    entries.flatMap(([key, column]) => {
      const ours = names[key]
      if (ours === undefined) unknown(key)
      return ours === undefined || typeof column !== 'string' ? [] : [[ours, column]]
    }),
  )
}
