"""What the browser shows: the layout, and the components that Gradio has not. All work is done one room below."""
