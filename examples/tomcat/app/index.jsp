<%@ page contentType="text/plain" %>Two and two is <%= 2 + 2 %>, says <%= application.getServerInfo() %>
