// The deck's drawings as SVG for the documents, in docs/pictures: NAME.svg with English words, and
// NAME.zh-TW.svg. `--check` only compares. English is in english.json, by the words of the deck.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { createServer } from 'vite'
import { createSSRApp } from 'vue'
import { renderToString } from 'vue/server-renderer'

const pictures = {
  'chapters': ['Chapters'],
  'cni-io': ['CniIo'],
  'add-order': ['AddOrder', { undo: true }],
  'kernel-path': ['KernelPath'],
  'ebpf-pipeline': ['EbpfPipeline'],
  'policy-to-map': ['PolicyToMap'],
  'lookup': ['Lookup'],
  'mark-path': ['MarkPath'],
  'replies': ['Replies'],
  'agent-loop': ['AgentLoop'],
  'one-step': ['OneStep'],
}
const parts = ['Fig', 'SBox', 'SText', 'SArrow']

const slides = new URL('..', import.meta.url)
const english = JSON.parse(readFileSync(new URL('english.json', slides), 'utf8'))
const isChinese = text => /[\u3000-\u9fff\uff00-\uffef]/.test(text)
const unknown = new Set()
const languages = {
  '': (text) => {
    const said = english[text] ?? Object.entries(english).reduce((said, words) => said.replaceAll(...words), text)
    if (isChinese(said)) unknown.add(text)
    return said
  },
  '.zh-TW': text => text,
}

// What a drawing needs of the deck's style: its colours, and the rules for `.fig`.
const css = readFileSync(new URL('styles/deck.css', slides), 'utf8')
const rules = css.match(/^(:root|\.fig[^{]*) \{[^}]*\}/gm).filter(rule => !/^\.fig \{/.test(rule))
const style = `svg { background: #fff; font-family: var(--sans), sans-serif }\n${rules.join('\n')}`

const server = await createServer({
  root: fileURLToPath(slides), configFile: false, plugins: [vue()], appType: 'custom', logLevel: 'error',
  server: { middlewareMode: true, hmr: false, watch: null }, optimizeDeps: { noDiscovery: true },
})
const load = async name => (await server.ssrLoadModule(`/components/${name}.vue`)).default
const registered = await Promise.all(parts.map(async name => [name, await load(name)]))

const folder = new URL('../docs/pictures/', slides)
mkdirSync(folder, { recursive: true })
const stale = []
for (const [name, [component, props]] of Object.entries(pictures)) {
  for (const [language, say] of Object.entries(languages)) {
    const app = createSSRApp(await load(component), props)
    registered.forEach(part => app.component(...part))
    const drawn = (await renderToString(app.provide('say', say))).replaceAll(/<!--.*?-->/g, '')
    const [, width, height] = drawn.match(/viewBox="0 0 (\d+) (\d+)"/)
    const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`
    const svg = drawn.replace('<svg', head).replace('<defs>', `<style>\n${style}\n</style><defs>`)
    const file = new URL(`${name}${language}.svg`, folder)
    const text = `${svg.replaceAll('><', '>\n<')}\n`
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
    stale.push(fileURLToPath(file))
    if (!process.argv.includes('--check')) writeFileSync(file, text)
  }
}
await server.close()
for (const text of unknown) console.error(`pictures: english.json does not say what this means: ${text}`)
for (const file of stale) console.error(`pictures: ${process.argv.includes('--check') ? 'run scripts/slides pictures: it would change' : 'wrote'} ${file}`)
process.exit(unknown.size || (process.argv.includes('--check') && stale.length) ? 1 : 0)
