// Vite's own minifier stumbles over what UnoCSS writes ("Invalid token in pseudo element").
export default { build: { cssMinify: false, chunkSizeWarningLimit: 4000 } }
