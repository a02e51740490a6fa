import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type SlurmMerge, slurmJobs, slurmText } from '../../lib/cluster/slurmScripts.js'
import { temporaryDirectory } from '../support/temporary.js'

const merge: SlurmMerge = {
  command: ['/opt/node', '/opt/branchmerge.js'],
  arguments: ['math & code', '--model', 'math=/models/math', '--out', '/models/merged'],
  workingDirectory: '/home/someone',
  out: '/models/merged',
  stagingDirectory: '/models/merged/.branchmerge-shards',
  parts: 12,
  resources: { partition: undefined, time: undefined, cpus: undefined, memory: undefined, sbatchArguments: [] },
}

/** Words that a shell, an option parser or a pattern might take for more than text. */
const oddWords = [
  'a b',
  "it's",
  '"',
  '$HOME',
  '`id`',
  '*',
  '\\',
  '',
  'a\nb',
  '-n',
  '~',
  '#',
  '{a,b}',
  '!',
  'é',
  "'; exit 3; '",
]

describe('slurmJobs', () => {
  test('the array has a task for each part, and finishing waits for all of them', () => {
    const { part, finish } = slurmJobs(merge)
    expect(part.sbatch).toEqual([
      '--parsable',
      '--requeue',
      '--job-name=branchmerge',
      '--chdir=/models/merged/.branchmerge-shards',
      '--output=/models/merged/.branchmerge-shards/logs/part-%a.log',
      '--open-mode=append',
      '--array=1-12',
      '/models/merged/.branchmerge-shards/part.sh',
    ])
    expect(finish('77').sbatch).toEqual([
      ...part.sbatch.slice(0, 4),
      '--output=/models/merged/.branchmerge-shards/logs/finish.log',
      '--open-mode=append',
      '--dependency=afterok:77',
      '--kill-on-invalid-dep=yes',
      '/models/merged/.branchmerge-shards/finish.sh',
    ])
  })

  test('resources go to both jobs, further arguments behind our own', () => {
    const { part, finish } = slurmJobs({
      ...merge,
      resources: {
        partition: 'long',
        time: '1-12',
        cpus: 16,
        memory: '64G',
        sbatchArguments: ['--account=lab', '-q', 'low'],
      },
    })
    const asked = ['--partition=long', '--time=1-12', '--cpus-per-task=16', '--mem=64G', '--account=lab', '-q', 'low']
    for (const { sbatch } of [part, finish('1')]) {
      expect(sbatch.slice(sbatch.indexOf('--partition=long')).slice(0, asked.length)).toEqual(asked)
    }
  })

  test('the log lies in the directory, whatever its name', () => {
    const { part } = slurmJobs({ ...merge, stagingDirectory: '/100%a/.branchmerge-shards' })
    expect(part.sbatch).toContain('--output=/100%%a/.branchmerge-shards/logs/part-%a.log')
    for (const out of ['/a\\b', '/a\nb']) {
      expect(() => slurmJobs({ ...merge, out })).toThrow('a path without a backslash or line end for out')
    }
  })

  test('scripts that a person can read', () => {
    const { part, finish } = slurmJobs(merge)
    expect(part.text).toBe(
      [
        '#!/bin/sh',
        '# One part of a merge: a task of a Slurm job array of 12.',
        'set -eu',
        'cd /home/someone',
        "exec /opt/node /opt/branchmerge.js merge 'math & code' --model math=/models/math --out /models/merged --shard " +
          '"$SLURM_ARRAY_TASK_ID/12"',
        '',
      ].join('\n'),
    )
    expect(finish('1').text).toContain('\nexec /opt/node /opt/branchmerge.js finish /models/merged\n')
  })

  test('a shell passes every word on as it is', () => {
    const directory = join(temporaryDirectory(), "with $odd 'name' % *")
    mkdirSync(directory)
    const script = join(directory, 'print.js')
    writeFileSync(script, 'console.log(JSON.stringify([process.cwd(), ...process.argv.slice(2)]))')
    const jobs = slurmJobs({
      ...merge,
      command: [process.execPath, script],
      arguments: oddWords,
      workingDirectory: directory,
      out: join(directory, 'out'),
    })
    const run = (text: string) =>
      JSON.parse(execFileSync('/bin/sh', ['-c', text], { env: { SLURM_ARRAY_TASK_ID: '3' }, encoding: 'utf8' }))
    expect(run(jobs.part.text)).toEqual([directory, 'merge', ...oddWords, '--shard', '3/12'])
    expect(run(jobs.finish('1').text)).toEqual([directory, 'finish', join(directory, 'out')])
  })
})

test('slurmText shows the commands and both scripts', () => {
  const text = slurmText(merge)
  expect(text).toContain('sbatch --parsable --requeue')
  expect(text).toContain('--array=1-12')
  expect(text).toContain('--dependency=afterok:JOB')
  const { part, finish } = slurmJobs(merge)
  expect(text).toContain(part.text.trimEnd())
  expect(text).toContain(finish('JOB').text.trimEnd())
})
