import { dirname } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { resolveFuseCheckpointsOptions } from '../../fusion/fuseOptions.js'
import type { FuseCheckpointsOptions } from '../../fusion/fuseOptionTypes.js'
import { placeFromFile } from '../../hub/hubName.js'
import { fuseCheckpoints } from '../../merge/fuseCheckpoints.js'
import { jsonSchema } from '../../options/jsonSchema.js'
import { plan } from '../../plan.js'
import { Problems } from '../../recipe/problems.js'
import { compileSchema, schemaProblems } from '../../recipe/schemaProblems.js'
import { stepKeys } from '../pipelineKeys.js'
import type { PipelineFusion } from '../pipelineOptions.js'
import type { StepKind } from './stepKind.js'

let compiled: ValidateFunction | undefined

export const fuse: StepKind = {
  takesFile: false,
  place: undefined,
  outputFile: undefined,
  settings: ['threads', 'memory', 'device'],
  free: [],
  earlierWork: 'none',
  open(document, output, settings) {
    const problems = new Problems(document.file ?? 'The fusion', document.locate)
    compiled ??= compileSchema(jsonSchema(stepKeys.fuse))
    schemaProblems(compiled, document.value, problems, { subject: 'fuse' })
    problems.throwIfAny()
    const { left, right, ...given } = document.value as PipelineFusion
    const options: FuseCheckpointsOptions = { ...given, ...settings, out: output }
    resolveFuseCheckpointsOptions(options)
    const directory = document.file === undefined ? '.' : dirname(document.file)
    const paths = [left, right].map((path) => placeFromFile(path, directory, 'model')) as [string, string]
    return {
      inputs: paths.map((path) => ({ path, kind: 'model' })),
      run: ({ signal, onProgress }) =>
        fuseCheckpoints(...paths, {
          ...options,
          resume: true,
          signal,
          onProgress: (progress) => onProgress({ of: 'merge', progress }),
          onDownload: (progress) => onProgress({ of: 'download', progress }),
        }),
      estimate: async () => {
        const { bytesToRead, bytesToWrite, memoryBytes, diskBytes } = await plan.fuse(...paths, {
          ...options,
          overwrite: true,
        })
        return { bytesToRead, bytesToWrite, memoryBytes, diskBytes }
      },
    }
  },
}
