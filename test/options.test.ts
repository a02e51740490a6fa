import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { modelKeys } from '../lib/checkpoint/modelKeys.js'
import {
  clientKeys,
  embeddedKeys,
  engineGroups,
  servedKeys,
  serverKeys,
  timeoutKeys,
} from '../lib/engines/open/engineKeys.js'
import { sampling, samplingKeys } from '../lib/engines/samplingKeys.js'
import { checkpointKeys, fuseCheckpoints, fuseKeys, fusionKeys } from '../lib/fusion/fuseKeys.js'
import { jsonSchema } from '../lib/options/jsonSchema.js'
import type { GroupOption } from '../lib/options/option.js'
import { pipelineGroup } from '../lib/pipeline/pipelineKeys.js'
import { exportKeys, launcherKeys, run, slurmKeys } from '../lib/train/runKeys.js'
import { trainingKeys } from '../lib/train/trainingKeys.js'
import { interfacesText, methodTable, optionTable, schemaText, withTables } from './support/optionText.js'

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
  ['lib/train/trainingOptions.ts', 'trainingKeys.ts', [], interfacesText([training])],
  [
    'lib/train/runOptions.ts',
    'runKeys.ts',
    [
      "import type { DataOptions } from '../data/options.js'",
      "import type { TrainingOptions } from './trainingOptions.js'",
    ],
    interfacesText([run], ['TrainingOptions']),
  ],
  ['lib/engines/samplingOptions.ts', 'samplingKeys.ts', [], interfacesText([sampling])],
  ['lib/engines/open/engineOptions.ts', 'engineKeys.ts', [], interfacesText(Object.values(engineGroups))],
  [
    'lib/checkpoint/modelChoices.ts',
    'modelKeys.ts',
    [],
    interfacesText([
      {
        type: 'group',
        interface: 'ModelChoices',
        options: modelKeys,
        meaning: 'what becomes of models that are not stored alike',
      },
    ]),
  ],
  [
    'lib/fusion/fuseOptionTypes.ts',
    'fuseKeys.ts',
    [
      "import type { DtypeName } from '../checkpoint/dtypes.js'",
      "import type { DownloadProgress } from '../hub/download.js'",
      "import type { DeviceOption } from '../native/deviceOption.js'",
      "import type { Progress } from './progress.js'",
      "import type { TensorStats } from './tensorStats.js'",
    ],
    interfacesText([fuseCheckpoints]),
  ],
])('the types in %s are those of %s', async (file, declared, imports, text) => {
  const head = [written(declared), imports.length > 0 ? `${imports.join('\n')}\n` : ''].join('')
  await expect(`${head}\n${text}\n`).toMatchFileSnapshot(`../${file}`)
})

test.each([
  ['run', run],
  ['pipeline', pipelineGroup],
] as const)('recipes/%s.schema.json is the schema of the options', async (name, group) => {
  await expect(schemaText(name, group)).toMatchFileSnapshot(`../recipes/${name}.schema.json`)
})

test('recipes/recipe.schema.json has the declared choices', async () => {
  const file = new URL('../recipes/recipe.schema.json', import.meta.url)
  const schema = JSON.parse(readFileSync(file, 'utf8'))
  for (const [name, option] of Object.entries(modelKeys)) schema.properties[name] = jsonSchema(option)
  await expect(`${JSON.stringify(schema, null, 2)}\n`).toMatchFileSnapshot('../recipes/recipe.schema.json')
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
  [
    'evaluate-engines.md',
    {
      embedded: optionTable(embeddedKeys),
      client: optionTable({ ...clientKeys, ...serverKeys }),
      timeouts: optionTable(timeoutKeys),
      served: optionTable(servedKeys),
      sampling: optionTable(samplingKeys),
    },
  ],
  ['api.md', { fuse: optionTable({ ...fusionKeys, ...fuseKeys }), checkpoints: optionTable(checkpointKeys) }],
  ['recipes.md', { methods: methodTable() }],
])('the tables of docs/%s are those of the options', async (page, tables) => {
  const text = readFileSync(new URL(`../docs/${page}`, import.meta.url), 'utf8')
  for (const name of Object.keys(tables)) expect(text).toContain(`<!-- options ${name} -->`)
  await expect(withTables(text, tables)).toMatchFileSnapshot(`../docs/${page}`)
})
