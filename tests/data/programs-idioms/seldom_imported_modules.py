# expect: accepted
import ast
import contextlib
import io
from email.mime.text import MIMEText
from xml.dom import minidom

import http.client, mailbox, plistlib, readline, tabnanny, wsgiref.util, xmlrpc.client, zipapp

assert MIMEText("x")["Content-Type"] == 'text/plain; charset="us-ascii"'
assert minidom.parseString("<a><b/></a>").documentElement.tagName == "a"
assert ast.unparse(ast.parse("x=1+2")) == "x = 1 + 2"
readline.parse_and_bind("tab: complete")
with contextlib.redirect_stdout(io.StringIO()) as output:
    import this
assert output.getvalue().startswith("The Zen of Python")
print("ok")
