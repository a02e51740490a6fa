import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { GroupOption } from '../lib/options/option.js'
import { exportKeys, launcherKeys, run, slurmKeys } from '../lib/train/runKeys.js'
import { trainingKeys } from '../lib/train/trainingKeys.js'
import { interfaceText, optionTable, schemaText, withTables } from './support/optionText.js'

// Every option is declared once. Schemas, types and tables are made of the declarations: `npx vitest run test/options.test.ts -u`
// writes them, and without -u a file that says something else fails here.

const training: GroupOption = {
  type: 'group',
  interface: 'TrainingOptions',
  options: trainingKeys,
  meaning: 'hyperparameters by the names of Transformers, in camelCase',
}

const written = (declared: string) =>
  `// Written from ${declared} by \`npx vitest run test/options.test.ts -u\`: see CONTRIBUTING.md.\n`

test.each([
  ['lib/train/trainingOptions.ts', 'trainingKeys.ts', [], interfaceText(training)],
  [
    'lib/train/runOptions.ts',
    'runKeys.ts',
    [
      "import type { DataOptions } from '../data/options.js'",
      "import type { TrainingOptions } from './trainingOptions.js'",
    ],
    interfaceText(run, ['TrainingOptions']),
  ],
])('the types in %s are those of %s', async (file, declared, imports, text) => {
  const head = [written(declared), imports.length > 0 ? `${imports.join('\n')}\n` : ''].join('')
  await expect(`${head}\n${text}\n`).toMatchFileSnapshot(`../${file}`)
})

test.each([['run', run]] as const)('recipes/%s.schema.json is the schema of the options', async (name, group) => {
  await expect(schemaText(name, group)).toMatchFileSnapshot(`../recipes/${name}.schema.json`)
})

test.each([
  [
    'sft.md',
    {
      training: optionTable(trainingKeys),
      export: optionTable(exportKeys),
      launcher: optionTable(launcherKeys),
      slurm: optionTable(slurmKeys),
    },
  ],
])('the tables of docs/%s are those of the options', async (page, tables) => {
  const text = readFileSync(new URL(`../docs/${page}`, import.meta.url), 'utf8')
  for (const name of Object.keys(tables)) expect(text).toContain(`<!-- options ${name} -->`)
  await expect(withTables(text, tables)).toMatchFileSnapshot(`../docs/${page}`)
})
