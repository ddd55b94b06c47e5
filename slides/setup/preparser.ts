import { definePreparserSetup } from '@slidev/types'
import { cutter, wanted } from '../tools/cut.mjs'

// The course, or with CUT=talk the talk of 40 minutes.
export default definePreparserSetup(() => [cutter(wanted())])
