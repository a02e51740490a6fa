import { readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { outputFailure } from '../../files/outputDirectory.js'
import { partialSuffix } from '../../files/owners.js'
import { type Path, pathText } from '../../recipe/problems.js'
import { canonicalJson } from '../../text/canonicalJson.js'
import { isMapping } from '../../validate.js'
import type { OutputFile, StepKey, StepRecord } from './stateFile.js'

/** More would hide the first ones. */
const maxReasons = 10
const maxValueLength = 60

/** Why a step that ran before runs again for what it is made of: nothing where it is made of the same. */
export function changesOf(before: StepKey, now: StepKey): string[] {
  const changes = [
    ...(before.kind === now.kind ? [] : [`kind: ${before.kind} → ${now.kind}`]),
    ...(before.version === now.version ? [] : [`branchmerge ${before.version} → ${now.version}`]),
    ...(before.kind === now.kind ? optionChanges(before.options, now.options, []) : []),
    ...inputChanges(before, now),
    ...needChanges(before, now),
  ]
  const more = changes.length - maxReasons
  return more > 0 ? [...changes.slice(0, maxReasons), `and ${more} more`] : changes
}

function optionChanges(before: unknown, now: unknown, path: Path): string[] {
  if (JSON.stringify(before) === JSON.stringify(now)) return []
  const [old, young] = [childrenOf(before), childrenOf(now)]
  const alike = Array.isArray(before) === Array.isArray(now)
  if (!old || !young || !alike || (Array.isArray(before) && old.size !== young.size)) {
    return [`${pathText(path)}: ${shown(before)} → ${shown(now)}`]
  }
  const keys = [...new Set([...old.keys(), ...young.keys()])]
  const changes = keys.flatMap((key) => optionChanges(old.get(key), young.get(key), [...path, key]))
  // Columns, for one, are written in the order of their names in the file.
  return changes.length > 0 ? changes : [`${pathText(path) || 'options'}: the order of keys`]
}

const childrenOf = (value: unknown): Map<string | number, unknown> | undefined =>
  Array.isArray(value) ? new Map(value.entries()) : isMapping(value) ? new Map(Object.entries(value)) : undefined

function shown(value: unknown): string {
  if (value === undefined) return 'not set'
  const text = typeof value === 'string' ? value : canonicalJson(value)
  return text.length > maxValueLength ? `${text.slice(0, maxValueLength)}…` : text
}

function inputChanges({ inputs: before }: StepKey, { inputs: now }: StepKey): string[] {
  const paths = [...new Set([...Object.keys(before), ...Object.keys(now)])]
  return paths.flatMap((path) => {
    const [old, young] = [before[path], now[path]]
    if (!old) return [`input ${path} is new`]
    if (!young) return [`input ${path} is gone`]
    return old.sha256 === young.sha256 ? [] : [`input ${path} changed`]
  })
}

export const ranAgain = (step: string): string => `step ${step} ran again`

function needChanges({ needs: before }: StepKey, { needs: now }: StepKey): string[] {
  return Object.entries(now).flatMap(([step, run]) =>
    before[step] === undefined || before[step] === run ? [] : [ranAgain(step)],
  )
}

/** Files of a step's directory, by their paths in it. Unfinished ones, and those of others at work, are left out. */
export async function listOutputs(directory: string): Promise<Record<string, OutputFile>> {
  const fail = (cause: NodeJS.ErrnoException) => {
    throw outputFailure(directory, cause)
  }
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(fail)
  const found: Record<string, OutputFile> = {}
  for (const entry of entries) {
    if (!entry.isFile() || entry.name.endsWith(partialSuffix)) continue
    const path = join(entry.parentPath, entry.name)
    const { size, mtimeMs } = await stat(path).catch(fail)
    found[relative(directory, path)] = { bytes: size, modified: mtimeMs }
  }
  return found
}

/** What is no more as the step left it. What others have put beside it is of no account. */
export async function outputChanges({ outputs = {} }: StepRecord, directory: string): Promise<string[]> {
  for (const [name, { bytes, modified }] of Object.entries(outputs)) {
    const now = await stat(join(directory, name)).catch(() => undefined)
    if (!now) return [`output ${name} is missing`]
    if (now.size !== bytes || now.mtimeMs !== modified) return [`output ${name} changed`]
  }
  return []
}
