import type { Sampling } from '../engines/generation.js'
import { samplingKeys } from '../engines/samplingKeys.js'
import type { SamplingOptions } from '../engines/samplingOptions.js'
import { withDefaults } from '../options/option.js'

/** The paper's: temperature 0.6, top-p 0.95, 32,768 tokens. */
export const paperSampling: Sampling = withDefaults(samplingKeys, {} as SamplingOptions)
