import { defineShikiSetup } from '@slidev/types'

// A terminal's lines: commands, and what the eye should find (a line that ends in " ✓" or " ✗";
// the mark is not shown).
export default defineShikiSetup(() => ({
  themes: { light: 'github-light-high-contrast', dark: 'github-light-high-contrast' },
  transformers: [
    {
      name: 'no-comments', // the slide says it in zh-TW
      preprocess(code) {
        if (['c', 'rust'].includes(this.options.lang))
          return code.replace(/^[ \t]*(\/\*[^]*?\*\/|\/\/.*)\n/gm, '')
      },
    },
    {
      name: 'terminal',
      line(node) {
        const last = node.children.at(-1) as any
        const first = node.children[0] as any
        if (this.options.lang !== 'text' || !first) return
        const text = last.children?.[0]
        if (first.children?.[0]?.value?.startsWith('$ ')) this.addClassToHast(node, 'prompt')
        for (const [mark, name] of [[' ✓', 'hit'], [' ✗', 'miss']])
          if (text?.value?.endsWith(mark)) {
            text.value = text.value.slice(0, -mark.length)
            this.addClassToHast(node, name)
          }
      },
    },
  ],
}))
